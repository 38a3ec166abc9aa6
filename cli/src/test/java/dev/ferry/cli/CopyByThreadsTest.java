package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ferry.testkit.LoopMount;
import dev.ferry.testkit.Requires;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Disks long enough that {@code nbd copy} takes several threads, each with a connection of its own. */
@Timeout(180)
final class CopyByThreadsTest {
    private static final int MEBI = 1 << 20;

    /** Several portions, and the last of them is short, and no whole number of blocks. */
    private static final long SIZE_BYTES = 203L * MEBI + 1000;

    private final List<Process> servers = new ArrayList<>();

    // Not JUnit's: the path of a socket is to be short.
    private final Path folder;
    private final Path disk;
    private final Path copy;
    private final Path socket;
    private final Path log;

    CopyByThreadsTest() throws IOException {
        folder = Files.createTempDirectory("ferry-test-");
        disk = folder.resolve("disk.raw");
        copy = folder.resolve("copy.raw");
        socket = folder.resolve("s");
        log = folder.resolve("log");
    }

    @BeforeEach
    void makeDisk() throws IOException {
        assumeTrue(Runtime.getRuntime().availableProcessors() > 1, "one processor: one thread");
        Random random = new Random(5);
        byte[] data = new byte[MEBI];
        try (RandomAccessFile file = new RandomAccessFile(disk.toFile(), "rw")) {
            file.setLength(SIZE_BYTES);
            for (long at = 0; at < SIZE_BYTES; at += 7L * MEBI) {
                random.nextBytes(data);
                file.seek(at);
                file.write(data, 0, (int) Math.min(data.length, SIZE_BYTES - at));
            }
            file.seek(SIZE_BYTES - 10);
            file.write(data, 0, 10);
        }
    }

    @AfterEach
    void stop() throws Exception {
        for (Process server : servers) {
            server.destroyForcibly().waitFor();
        }
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }

    private String nbdkit(String... words) throws IOException {
        List<String> command = new ArrayList<>(
                List.of(Requires.program("nbdkit").toString(), "-f", "-U", socket.toString(), "--filter=log"));
        command.addAll(List.of(words));
        command.add("logfile=" + log);
        return serve(command);
    }

    private String serve(List<String> command) throws IOException {
        Process server = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("said").toFile())
                .start();
        servers.add(server);
        FerryHost.until(() -> Files.exists(socket) || !server.isAlive());
        return "nbd+unix:///?socket=" + socket;
    }

    /** Connections that asked for something, or wrote something: each has a number in the log. */
    private long connectionsThat(String did) throws IOException {
        return Files.readAllLines(log).stream()
                .filter(line -> line.contains(" " + did + " "))
                .map(line -> line.replaceAll(".*connection=(\\d+).*", "$1"))
                .distinct()
                .count();
    }

    private static long blocks(Path file) {
        return Long.parseLong(Stranger.succeeds("stat", "-c", "%b", file).strip());
    }

    @Test
    void severalReadAndTheCopyHasTheSameBytesAndHoles() throws Exception {
        String uri = nbdkit("-r", "file", disk.toString());
        FerryHost.bare("nbd", "copy", "--verify", "--connections", "3", uri, copy.toString())
                .done();
        assertThat(copy).hasSameBinaryContentAs(disk);
        assertThat(blocks(copy)).isLessThanOrEqualTo(blocks(disk) + 16);
        assertThat(connectionsThat("Read")).isBetween(2L, 3L);
    }

    @Test
    void severalWriteAndOneFlushesForAll() throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(copy.toFile(), "rw")) {
            file.setLength(SIZE_BYTES);
            byte[] old = new byte[MEBI];
            Arrays.fill(old, (byte) 9);
            file.seek(3L * MEBI);
            file.write(old); // where the disk has a hole
        }
        String uri = nbdkit("file", copy.toString());
        FerryHost.bare("nbd", "copy", "--verify", disk.toString(), uri).done();
        assertThat(copy).hasSameBinaryContentAs(disk);
        assertThat(connectionsThat("Write")).isEqualTo(2);
        List<String> lines = Files.readAllLines(log);
        int flush = lastIndexOf(lines, " Flush ");
        assertThat(flush).isGreaterThan(lastIndexOf(lines, " Write "));
    }

    private static int lastIndexOf(List<String> lines, String word) {
        for (int i = lines.size() - 1; i >= 0; i--) {
            if (lines.get(i).contains(word)) {
                return i;
            }
        }
        return -1;
    }

    @Test
    void aServerWithOnePlaceIsCopiedThroughIt() throws Exception {
        String uri = nbdkit("-r", "--filter=limit", "file", disk.toString(), "limit=1");
        FerryHost.bare("nbd", "copy", uri, copy.toString()).done();
        assertThat(copy).hasSameBinaryContentAs(disk);
        assertThat(connectionsThat("Read")).isEqualTo(1);
    }

    @Test
    void aServerThatDoesNotKeepConnectionsInStepGetsOne() throws Exception {
        String uri = nbdkit("--filter=multi-conn", "file", disk.toString(), "multi-conn-mode=disable");
        FerryHost.bare("nbd", "copy", "--connections", "4", uri, copy.toString())
                .done();
        assertThat(copy).hasSameBinaryContentAs(disk);
        assertThat(connectionsThat("Read")).isEqualTo(1);
    }

    @Test
    void qemuNbdLetsInOneAndThatIsEnough() throws Exception {
        String uri = serve(List.of(
                Requires.program("qemu-nbd").toString(),
                "-f",
                "raw",
                "-r",
                "-t",
                "-k",
                socket.toString(),
                disk.toString()));
        FerryHost.bare("nbd", "copy", uri, copy.toString()).done();
        // Whole sectors: its last one is filled up by zeroes.
        assertThat(Files.mismatch(copy, disk)).isEqualTo(SIZE_BYTES);
    }

    @Test
    void whereOneFailsTheCopyFailsAndSaysWhy() throws Exception {
        String uri = nbdkit("-r", "--filter=error", "file", disk.toString(), "error-pread=EIO", "error-pread-rate=3%");
        FerryHost.bare("nbd", "copy", uri, copy.toString()).failed(1, "read");
    }

    @Test
    void aTargetThatFillsUpEndsAllOfThem() throws Exception {
        String uri = nbdkit("-r", "file", disk.toString());
        try (LoopMount small = LoopMount.of(folder, "ext4", 16L * MEBI)) {
            Path target = small.path().resolve("copy.raw");
            FerryHost.bare("nbd", "copy", uri, target.toString()).failed(1, "space");
        }
        assertThat(connectionsThat("Read")).isEqualTo(2);
    }

    @Test
    void aTargetThatAnotherWritesToStaysAsItIs() throws Exception {
        byte[] inUse = new byte[MEBI];
        new Random(6).nextBytes(inUse);
        Files.write(copy, inUse);
        String uri = serve(List.of(
                Requires.program("qemu-nbd").toString(), "-f", "raw", "-t", "-k", socket.toString(), copy.toString()));
        FerryHost.bare("nbd", "copy", disk.toString(), copy.toString()).failed(1, "another program writes to it");
        FerryHost.bare("nbd", "copy", uri, copy.toString()).failed(1, "another program writes to it");
        assertThat(copy).hasBinaryContent(inUse);
    }
}
