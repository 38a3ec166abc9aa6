package dev.ferry.reactor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Descriptors between processes: sent in datagrams, inherited by children. */
final class DescriptorsTest {
    @TempDir
    Path directory;

    @Test
    void aDescriptorSentIsTheSameOpenFile() throws IOException {
        String path = directory.resolve("notify").toString();
        String other = directory.resolve("other").toString();
        int receiver = Descriptors.datagramSocket(path);
        int sender = Descriptors.datagramSocket();
        int payload = Descriptors.datagramSocket(other);
        Descriptors.send(sender, path, "FDSTORE=1\nFDNAME=x", List.of(payload));
        Descriptors.close(payload);
        Descriptors.Message message = Descriptors.receive(receiver, 4096);
        assertThat(message.text()).isEqualTo("FDSTORE=1\nFDNAME=x");
        assertThat(message.descriptors()).hasSize(1);
        // It still receives at its path, though its first number is closed.
        Descriptors.send(sender, other, "hello", List.of());
        int moved = Descriptors.moveOutOfTheWay(message.descriptors().getFirst());
        assertThat(moved).isGreaterThanOrEqualTo(200);
        assertThat(Descriptors.receive(moved, 100)).isEqualTo(new Descriptors.Message("hello", List.of()));
        List.of(receiver, sender, moved).forEach(Descriptors::close);
    }

    @Test
    void manyDescriptorsFitOneMessage() throws IOException {
        String path = directory.resolve("notify").toString();
        int receiver = Descriptors.datagramSocket(path);
        Descriptors.send(receiver, path, "three", List.of(receiver, receiver, receiver));
        Descriptors.Message message = Descriptors.receive(receiver, 100);
        assertThat(message.descriptors()).hasSize(3).doesNotHaveDuplicates();
        message.descriptors().forEach(Descriptors::close);
        Descriptors.close(receiver);
    }

    @Test
    void errorsSayWhatFailed() {
        String nowhere = directory.resolve("nobody").toString();
        assertThatThrownBy(() -> {
                    int socket = Descriptors.datagramSocket();
                    Descriptors.send(socket, nowhere, "x", List.of());
                })
                .isInstanceOf(IOException.class)
                .hasMessage("sendmsg to " + nowhere + ": no such file or directory");
        assertThatThrownBy(() -> Descriptors.datagramSocket("/" + "x".repeat(200)))
                .hasMessageStartingWith("path too long for a unix socket");
    }

    @Test
    void aChildInheritsWhatItIsGivenAndNothingElse() throws IOException {
        String path = directory.resolve("socket").toString();
        int socket = Descriptors.moveOutOfTheWay(Descriptors.datagramSocket(path));
        Path out = directory.resolve("out");
        Map<String, String> environment = new HashMap<>(System.getenv());
        environment.put("LISTEN_FDNAMES", "nbd:tcp");
        String script = "{ echo $$ $LISTEN_PID $LISTEN_FDS $LISTEN_FDNAMES; ls /proc/$$/fd; } > '" + out + "'; exit 7";
        int pid = Spawn.start(List.of("/bin/sh", "-c", script), environment, List.of(socket, socket));
        assertThat(Spawn.await(pid)).isEqualTo(new Spawn.Exit(7, false));
        List<String> lines = Files.readAllLines(out);
        assertThat(lines.getFirst()).isEqualTo(pid + " " + pid + " 2 nbd:tcp");
        // 0, 1, 2, the two given, and what the shell keeps of its redirected output (10 and up). No pipeline lists
        // them: its ends would be the shell's for a moment.
        assertThat(lines.stream().skip(1).map(Integer::parseInt).filter(number -> number < 10))
                .containsExactlyInAnyOrder(0, 1, 2, 3, 4);
        Descriptors.close(socket);
    }

    @Test
    void aSignalIsToldFromAnExitStatus() throws IOException {
        int pid = Spawn.start(List.of("/bin/sleep", "60"), System.getenv(), List.of());
        assertThat(Spawn.signal(pid, Spawn.SIGKILL)).isTrue();
        assertThat(Spawn.await(pid)).isEqualTo(new Spawn.Exit(137, true));
        assertThat(Spawn.signal(pid, 0)).isFalse();
    }

    @Test
    void whatIsMeantForAnotherProcessIsNotTaken() throws IOException {
        assertThat(Descriptors.inherited(Map.of("LISTEN_PID", "1", "LISTEN_FDS", "1")))
                .isEmpty();
        assertThat(Descriptors.inherited(Map.of())).isEmpty();
        assertThatThrownBy(() -> Descriptors.inherited(Map.of("LISTEN_PID", "me", "LISTEN_FDS", "1")))
                .hasMessageContaining("not a number");
    }
}
