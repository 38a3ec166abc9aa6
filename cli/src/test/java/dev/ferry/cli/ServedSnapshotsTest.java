package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.json.JsonMapper;

/** Internal snapshots of a qcow2 image, served beside those of qemu-nbd: the same bytes, the same map, no changes. */
@Timeout(180)
final class ServedSnapshotsTest {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final List<Process> processes = new ArrayList<>();

    // Not JUnit's: the path of a socket is to be short.
    private final Path folder = Files.createTempDirectory("ferry-test-");
    private final Path image = folder.resolve("disk.qcow2");
    private final Path ours = folder.resolve("ours");
    private final Path qemus = folder.resolve("qemus");

    ServedSnapshotsTest() throws IOException {}

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

    private static String uri(Path socket) {
        return "nbd+unix:///?socket=" + socket;
    }

    private void start(Path socket, List<String> command) throws IOException {
        Files.deleteIfExists(socket);
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("said").toFile())
                .start();
        processes.add(process);
        FerryHost.until(() -> !process.isAlive() || Files.exists(socket));
    }

    private void serve(String... options) throws IOException {
        List<String> all = new ArrayList<>(
                List.of("nbd", "serve", image.toString(), "--format", "qcow2", "--socket", ours.toString()));
        all.addAll(List.of(options));
        start(ours, Installation.command(Self.Part.DAEMON, all));
    }

    /** One with two snapshots, between which the disk grew, and a disk that is none of them. */
    private void image(String options) {
        succeeds("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image, "8M");
        succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 1 100k 3M", "-c", "write -z 5M 1M", image);
        succeeds("qemu-img", "snapshot", "-c", "first", image);
        succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 2 1M 1M", "-c", "discard 2M 1M", image);
        if (options.contains("v3")) {
            succeeds("qemu-img", "resize", "-q", "-f", "qcow2", image, "10M");
        }
        // Named as the first one's id.
        succeeds("qemu-img", "snapshot", "-c", "1", image);
        succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 3 0 8M", image);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "compat=v3",
                "compat=v2",
                "compat=v3,extended_l2=on,cluster_size=32k",
                "compat=v3,cluster_size=512"
            })
    void areReadAsQemuReadsThem(String options) throws IOException {
        image(options);
        byte[] before = Files.readAllBytes(image);
        for (String snapshot : List.of("first", "1", "2")) {
            serve("--load-snapshot", snapshot);
            start(
                    qemus,
                    List.of(
                            "qemu-nbd",
                            "--persistent",
                            "--format=qcow2",
                            "--load-snapshot=" + snapshot,
                            "--socket=" + qemus,
                            image.toString()));
            // QEMU gives a snapshot the size that the disk has by now.
            boolean shorter = options.contains("v3") && !snapshot.equals("2");
            assertThat(succeeds("nbdinfo", "--size", uri(ours)).strip())
                    .isEqualTo(
                            shorter
                                    ? "8388608"
                                    : succeeds("nbdinfo", "--size", uri(qemus)).strip());
            succeeds("qemu-img", "compare", "-f", "raw", "-F", "raw", uri(ours), uri(qemus));
            if (!shorter) {
                assertThat(JSON.readTree(succeeds("qemu-img", "map", "--output=json", "-f", "raw", uri(ours))))
                        .isEqualTo(
                                JSON.readTree(succeeds("qemu-img", "map", "--output=json", "-f", "raw", uri(qemus))));
            }
            assertThat(succeeds("nbdinfo", uri(ours))).contains("is_read_only: true");
            assertThat(Stranger.run("qemu-io", "-f", "raw", "-c", "write 0 512", uri(ours))
                            .exitCode())
                    .isNotZero();
            stopServers();
        }
        serve("--load-snapshot", "first");
        succeeds("qemu-io", "-r", "-f", "raw", "-c", "read -P 1 100k 3M", "-c", "read -P 0 5M 3M", uri(ours));
        stopServers();
        assertThat(Files.readAllBytes(image)).isEqualTo(before);
    }

    private void stopServers() {
        for (Process process : processes) {
            process.destroy();
            FerryHost.until(() -> !process.isAlive());
        }
    }

    @Test
    void changesToOneAreThrownAwayAndDirectWorks() throws IOException {
        image("compat=v3");
        byte[] before = Files.readAllBytes(image);
        serve("--load-snapshot", "first", "--snapshot", "--direct");
        succeeds("qemu-io", "-f", "raw", "-c", "write -P 9 2M 1M", "-c", "read -P 9 2M 1M", uri(ours));
        succeeds("qemu-io", "-f", "raw", "-c", "read -P 9 2M 1M", "-c", "read -P 1 1M 1M", uri(ours));
        stopServers();
        serve("--load-snapshot", "first", "--direct", "--offset", "1M", "--size", "1M");
        succeeds("qemu-io", "-r", "-f", "raw", "-c", "read -P 1 0 1M", uri(ours));
        stopServers();
        assertThat(Files.readAllBytes(image)).isEqualTo(before);
    }

    @Test
    void whatIsNotThereIsRefusedInOneLine() {
        image("compat=v3");
        String[] serve = {"nbd", "serve", image.toString(), "--socket", ours.toString(), "--load-snapshot"};
        refused(1, "it has no snapshot 'none'", serve, "none", "--format", "qcow2");
        refused(2, "only qcow2 images have internal snapshots", serve, "first");
        refused(2, "leave --bitmap or --load-snapshot out", serve, "first", "--format", "qcow2", "--bitmap", "b");
        assertThat(ours).doesNotExist();
    }

    private static void refused(int status, String words, String[] command, String... more) {
        List<String> all = new ArrayList<>(List.of(command));
        all.addAll(List.of(more));
        FerryHost.bare(all.toArray(String[]::new)).failed(status, words);
    }
}
