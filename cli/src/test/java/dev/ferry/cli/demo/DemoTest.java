package dev.ferry.cli.demo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ferry.cli.Installation;
import dev.ferry.cli.Screen;
import dev.ferry.cli.Self;
import dev.ferry.reactor.Spawn;
import dev.ferry.testkit.Processes;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The demonstration, on a small disk: it does what it says, says it as promised, and leaves nothing behind. */
@Timeout(120)
final class DemoTest {
    @TempDir
    Path directory;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    @BeforeAll
    static void install() throws IOException {
        Installation.make();
    }

    private int demo(String... arguments) {
        PrintStream stream = new PrintStream(out, true, StandardCharsets.UTF_8);
        return new CommandLine(new DemoCommand(new Screen(stream, stream, false))).execute(arguments);
    }

    @Test
    void theJsonHasTheFieldsThatWerePromised() throws IOException {
        int status = demo("--size", "32M", "--iops", "500", "--seconds", "1", "--json", "--dir", directory.toString());
        assertThat(status).as(out.toString(StandardCharsets.UTF_8)).isZero();
        JsonNode report = JsonMapper.builder().build().readTree(out.toByteArray());
        assertThat(report.propertyNames())
                .containsExactlyInAnyOrder(
                        "seconds",
                        "mibPerSecond",
                        "guest",
                        "longestStallMillis",
                        "switchoverPauseMillis",
                        "sourceDigest",
                        "targetDigest",
                        "equal",
                        "wrongReads");
        for (String stretch : new String[] {"before", "during", "after"}) {
            JsonNode felt = report.path("guest").path(stretch);
            assertThat(felt.propertyNames()).containsExactlyInAnyOrder("iops", "p99Micros");
            assertThat(felt.path("iops").asDouble()).isPositive();
        }
        assertThat(report.path("equal").asBoolean()).isTrue();
        assertThat(report.path("sourceDigest").asString())
                .isNotEmpty()
                .isEqualTo(report.path("targetDigest").asString());
        assertThat(report.path("wrongReads").asLong()).isZero();
        assertThat(directory).isEmptyDirectory();
    }

    /** At each of these words it works with something that has to be gone afterwards. */
    @ParameterizedTest
    @CsvSource({
        "15, 143, starting a daemon",
        "2, 130, filling a disk",
        "15, 143, a guest begins",
        "2, 130, the disk moves",
    })
    void interruptedItEndsAtOnceAndLeavesNothingBehind(int signal, int status, String words) throws Exception {
        Path log = directory.resolve("demo.log");
        Path work = Files.createDirectory(directory.resolve("work"));
        List<String> command = new ArrayList<>(List.of("demo", "--size", "64M", "--rate", "1M", "--seconds", "4"));
        command.addAll(List.of("--dir", work.toString()));
        Process demo = new ProcessBuilder(Installation.command(Self.Part.DAEMON, command))
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        await().atMost(60, TimeUnit.SECONDS)
                .pollInterval(5, TimeUnit.MILLISECONDS)
                .until(() -> Files.exists(log) && Files.readString(log).contains(words));
        List<ProcessHandle> children = demo.descendants().toList();
        assumeTrue(!ignores(demo, signal), "whoever started the tests has had signal " + signal + " ignored");
        assertThat(Spawn.signal((int) demo.pid(), signal)).isTrue();
        assertThat(demo.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(demo.exitValue()).isEqualTo(status);
        Processes.assertEnded(children, Duration.ofSeconds(30));
        assertThat(work).isEmptyDirectory();
        assertThat(Files.readString(log)).doesNotContain("ferry:");
    }

    /** As shells have it for what they run in the background; a JVM leaves it so. */
    private static boolean ignores(Process process, int signal) throws IOException {
        String mask = Files.readAllLines(Path.of("/proc/" + process.pid() + "/status")).stream()
                .filter(line -> line.startsWith("SigIgn:"))
                .findFirst()
                .orElseThrow()
                .substring("SigIgn:".length())
                .strip();
        return (Long.parseUnsignedLong(mask, 16) >> (signal - 1) & 1) != 0;
    }

    @Test
    void withoutVerificationItSaysThatThereIsNoProof() {
        int status =
                demo("--size", "16M", "--iops", "500", "--seconds", "1", "--no-verify", "--dir", directory.toString());
        assertThat(status).isZero();
        assertThat(out.toString(StandardCharsets.UTF_8)).contains("none wrong", "none was asked for");
        assertThat(directory).isEmptyDirectory();
    }
}
