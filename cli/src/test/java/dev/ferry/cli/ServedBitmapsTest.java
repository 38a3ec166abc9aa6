package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Requires;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Bitmaps that a qcow2 image stores, by turns with QEMU's server. */
@Timeout(180)
final class ServedBitmapsTest {
    private final List<Process> processes = new ArrayList<>();

    // Not JUnit's: the path of a socket is to be short.
    private final Path folder = Files.createTempDirectory("ferry-test-");
    private final Path image = folder.resolve("disk.qcow2");
    private final Path socket = folder.resolve("s");

    ServedBitmapsTest() throws IOException {}

    @AfterEach
    void stop() throws Exception {
        for (Process process : processes) {
            process.destroyForcibly().waitFor();
        }
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }

    private String uri() {
        return "nbd+unix:///?socket=" + socket;
    }

    private Process start(List<String> command) throws IOException {
        Files.deleteIfExists(socket);
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("said").toFile())
                .start();
        processes.add(process);
        FerryHost.until(() -> !process.isAlive() || Files.exists(socket));
        return process;
    }

    private Process serve() throws IOException {
        List<String> arguments =
                List.of("nbd", "serve", image.toString(), "--format", "qcow2", "--socket", socket.toString());
        List<String> all = new ArrayList<>(arguments);
        all.addAll(List.of("--bitmap", "nightly", "--bitmap", "still"));
        return start(Installation.command(Self.Part.DAEMON, all));
    }

    private static void end(Process server) throws InterruptedException {
        server.destroy();
        assertThat(server.waitFor(120, TimeUnit.SECONDS)).isTrue();
    }

    private List<String> dirty(String name) throws IOException, InterruptedException {
        return succeeds("nbdinfo", "--map=qemu:dirty-bitmap:" + name, uri())
                .lines()
                .map(line -> line.strip().split("\\s+"))
                .filter(columns -> columns[2].equals("1"))
                .map(columns -> Long.parseLong(columns[0]) / 1024 + "+" + Long.parseLong(columns[1]) / 1024)
                .toList();
    }

    private void write(String command) throws IOException, InterruptedException {
        assertThat(succeeds("qemu-io", "-f", "raw", "-c", command, uri())).doesNotContain("failed");
    }

    @Test
    void anImagesBitmapIsGoneOnWithByTurnsWithQemuAndRefusedAfterAKill() throws Exception {
        succeeds("qemu-img", "create", "-f", "qcow2", image, "16M");
        succeeds("qemu-img", "bitmap", "--add", "-g", "32k", image, "nightly");
        succeeds("qemu-io", "-f", "qcow2", "-c", "write 1M 32k", image);
        succeeds("qemu-img", "bitmap", "--add", "--disable", image, "still");

        Process ours = serve();
        write("write 4M 1k");
        assertThat(dirty("nightly")).containsExactly("1024+32", "4096+32");
        assertThat(dirty("still")).isEmpty();
        end(ours);
        assertThat(succeeds("qemu-img", "check", "-f", "qcow2", image)).contains("No errors were found");
        assertThat(succeeds("qemu-img", "info", image)).doesNotContain("in-use");

        Requires.program("qemu-nbd");
        Process theirs = start(
                List.of("qemu-nbd", "-f", "qcow2", "-t", "-B", "nightly", "-k", socket.toString(), image.toString()));
        assertThat(dirty("nightly")).containsExactly("1024+32", "4096+32");
        write("write 8M 64k");
        end(theirs);

        ours = serve();
        assertThat(dirty("nightly")).containsExactly("1024+32", "4096+32", "8192+64");
        ours.destroyForcibly().waitFor();
        assertThat(succeeds("qemu-img", "info", image)).contains("in-use");
        Process refused = serve();
        assertThat(refused.waitFor(120, TimeUnit.SECONDS)).isTrue();
        assertThat(refused.exitValue()).isEqualTo(Ferry.FAILED);
        assertThat(Files.readString(folder.resolve("said")))
                .contains("bitmap 'nightly'", "inconsistent", "qemu-img bitmap --remove")
                .hasLineCount(1);
    }
}
