package dev.ferry.server.supervise;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.ferry.reactor.Descriptors;
import dev.ferry.reactor.Spawn;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The supervisor with real child processes. */
@Timeout(180)
final class SupervisorTest {
    @TempDir
    Path directory;

    private final ByteArrayOutputStream log = new ByteArrayOutputStream();
    private final CompletableFuture<Integer> status = new CompletableFuture<>();
    private @Nullable Supervisor supervisor;

    private void start(String behaviour) {
        start(behaviour, Keeper.none());
    }

    private void start(String behaviour, Keeper above) {
        List<String> command = List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                SupervisedChild.class.getName(),
                directory.resolve("log").toString(),
                behaviour);
        Supervisor started = new Supervisor(
                directory.resolve("notify.sock"), command, new PrintStream(log, true, StandardCharsets.UTF_8), above);
        supervisor = started;
        Thread.ofPlatform().start(() -> {
            try {
                status.complete(started.run());
            } catch (Throwable failed) {
                status.completeExceptionally(failed);
            }
        });
    }

    @AfterEach
    void stop() throws Exception {
        Objects.requireNonNull(supervisor).stop();
        status.get(90, TimeUnit.SECONDS);
    }

    private List<String> lines() throws IOException {
        Path file = directory.resolve("log");
        return Files.exists(file) ? Files.readAllLines(file) : List.of();
    }

    private List<String> lines(int count) {
        await().atMost(Duration.ofSeconds(90))
                .pollInterval(Duration.ofMillis(10))
                .until(() -> lines().size() >= count);
        try {
            return lines();
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }

    private static int pid(String line) {
        return Integer.parseInt(line.substring(0, line.indexOf(' ')));
    }

    @Test
    void aDaemonThatIsKilledIsReplacedAndItsSocketIsHandedDown() {
        start("serve");
        String first = lines(1).getFirst();
        assertThat(first).endsWith("started made");
        Spawn.signal(pid(first), Spawn.SIGKILL);
        String second = lines(2).get(1);
        assertThat(second).endsWith("started inherited");
        assertThat(log.toString(StandardCharsets.UTF_8)).contains("was ended by signal 9; starting another");
    }

    @Test
    void stoppingStopsTheDaemonGracefully() throws Exception {
        start("serve");
        int pid = pid(lines(1).getFirst());
        Objects.requireNonNull(supervisor).stop();
        assertThat(status.get(90, TimeUnit.SECONDS)).isZero();
        assertThat(lines()).contains(pid + " stopped");
        assertThat(Spawn.signal(pid, 0)).isFalse();
        assertThat(directory.resolve("notify.sock")).doesNotExist();
        assertThat(log.size()).isZero();
    }

    @Test
    void aDaemonThatRefusesToStartIsNotStartedAgain() throws Exception {
        start("refuse");
        assertThat(status.get(90, TimeUnit.SECONDS)).isEqualTo(2);
        assertThat(log.size()).isZero();
    }

    @Test
    void aDaemonThatFailsAgainAndAgainIsGivenPauses() {
        start("unready");
        lines(6);
        await().atMost(Duration.ofSeconds(90))
                .until(() -> log.toString(StandardCharsets.UTF_8).contains(" in 100 ms"));
    }

    @Test
    void whatIsHeldIsHeldAboveTooAndWhatIsHandedDownIsTheDaemons() throws Exception {
        Path path = directory.resolve("systemd.sock");
        int systemd = Descriptors.datagramSocket(path.toString());
        start("serve", Keeper.ofEnvironment(Map.of("NOTIFY_SOCKET", path.toString())));
        assertThat(lines(1).getFirst()).endsWith("started made");
        String pid = "\nMAINPID=" + ProcessHandle.current().pid();
        Descriptors.Message stored = Descriptors.receive(systemd, 4096);
        assertThat(stored.text()).isEqualTo("FDSTORE=1\nFDNAME=nbd" + pid);
        assertThat(stored.descriptors()).hasSize(1);
        assertThat(Descriptors.receive(systemd, 4096).text()).isEqualTo("READY=1" + pid);
        Objects.requireNonNull(supervisor).stop();
        assertThat(Descriptors.receive(systemd, 4096).text()).isEqualTo("STOPPING=1" + pid);
        Descriptors.close(stored.descriptors().getFirst());
        Descriptors.close(systemd);
    }

    @Test
    void onRequestANewDaemonIsReadyBeforeTheOldOneIsStopped() throws IOException {
        Files.createFile(directory.resolve("restart"));
        start("serve");
        List<String> lines = lines(3);
        assertThat(lines.get(0)).endsWith("started made");
        assertThat(lines.get(1)).endsWith("standby inherited");
        assertThat(lines.get(2)).isEqualTo(pid(lines.get(0)) + " stopped");
        assertThat(Spawn.signal(pid(lines.get(1)), 0)).isTrue();
    }
}
