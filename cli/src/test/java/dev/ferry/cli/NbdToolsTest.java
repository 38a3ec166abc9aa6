package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.reactor.Descriptors;
import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;
import dev.ferry.reactor.Spawn;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The one-shot tools as scripts use them, in processes of their own. */
@Timeout(180)
final class NbdToolsTest {
    private static final int MEBI = 1 << 20;

    private final List<Process> processes = new ArrayList<>();

    // Not JUnit's: the path of a socket is to be short.
    private final Path folder;
    private final Path disk;
    private final Path socket;

    NbdToolsTest() throws IOException {
        folder = Files.createTempDirectory("ferry-test-");
        disk = folder.resolve("disk.raw");
        socket = folder.resolve("s");
    }

    @BeforeEach
    void makeDisk() throws IOException {
        byte[] data = new byte[4 * MEBI];
        new Random(3).nextBytes(data);
        try (RandomAccessFile file = new RandomAccessFile(disk.toFile(), "rw")) {
            file.setLength(16 * MEBI);
            file.seek(4 * MEBI);
            file.write(data);
        }
    }

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

    private Process start(Path in, Path out, String... arguments) throws IOException {
        Process process = new ProcessBuilder(Installation.command(Self.Part.DAEMON, List.of(arguments)))
                .redirectInput(in.toFile())
                .redirectOutput(out.toFile())
                .redirectError(folder.resolve("errors").toFile())
                .start();
        processes.add(process);
        return process;
    }

    private Process serve(String... options) throws IOException {
        List<String> arguments =
                new ArrayList<>(List.of("nbd", "serve", disk.toString(), "--socket", socket.toString()));
        arguments.addAll(List.of(options));
        Path out = folder.resolve("out");
        Process process = start(Path.of("/dev/null"), out, arguments.toArray(String[]::new));
        FerryHost.until(() -> !process.isAlive() || says(out, "nbd"));
        assertThat(says(out, "nbd")).as(() -> text(folder.resolve("errors"))).isTrue();
        return process;
    }

    private static String text(Path file) {
        try {
            return Files.readString(file, StandardCharsets.ISO_8859_1);
        } catch (IOException failed) {
            return "";
        }
    }

    private static boolean says(Path file, String words) {
        return text(file).contains(words);
    }

    private String uri(String name) {
        return "nbd+unix:///" + name + "?socket=" + socket;
    }

    private static int exit(Process process) throws InterruptedException {
        assertThat(process.waitFor(120, TimeUnit.SECONDS)).as("it ends").isTrue();
        return process.exitValue();
    }

    @Test
    void aServerInTheBackgroundLeavesItsNumberAndServesThePartThatWasAskedFor() throws Exception {
        Path number = folder.resolve("pid");
        Process parent = serve(
                "--fork",
                "--pid-file",
                number.toString(),
                "--export",
                "vm1",
                "--offset",
                "4M",
                "--size",
                "8M",
                "--description",
                "a part",
                "--shared",
                "1");
        assertThat(exit(parent)).isZero();
        ProcessHandle server =
                ProcessHandle.of(Long.parseLong(text(number).strip())).orElseThrow();
        try {
            JsonNode export = FerryHost.bare("nbd", "info", "--json", uri("vm1"))
                    .done()
                    .json()
                    .path("exports")
                    .get(0);
            assertThat(export.path("sizeBytes").asLong()).isEqualTo(8 * MEBI);
            assertThat(export.path("description").asString()).isEqualTo("a part");
            JsonNode map = FerryHost.bare("nbd", "info", "--map", "--json", uri("vm1"))
                    .done()
                    .json();
            assertThat(map.size()).isEqualTo(2);
            assertThat(map.get(0).path("length").asLong()).isEqualTo(4 * MEBI);
            assertThat(map.get(0).path("meaning").asString()).isEqualTo("data");
            assertThat(map.get(1).path("meaning").asString()).isEqualTo("hole,zero");
            assertThat(FerryHost.bare("nbd", "info", "--map", "--context", "qemu:allocation-depth", uri("vm1"))
                            .done()
                            .out())
                    .contains("local", "unallocated");
        } finally {
            server.destroy();
        }
        FerryHost.until(() -> !server.isAlive());
        assertThat(number).doesNotExist();
        assertThat(socket).doesNotExist();
    }

    @Test
    void aServerForOneUseEndsAfterItAndNotAfterAQuestion() throws Exception {
        Process server = serve("--no-persistent");
        FerryHost.bare("nbd", "info", uri("")).done();
        FerryHost.bare("nbd", "info", "--list", uri("")).done();
        assertThat(server.isAlive()).as("those only asked").isTrue();
        Path copy = folder.resolve("copy.raw");
        assertThat(FerryHost.bare("nbd", "copy", "--verify", "--connections", "3", uri(""), copy.toString())
                        .done()
                        .out())
                .contains("equal");
        assertThat(copy).hasSameBinaryContentAs(disk);
        assertThat(exit(server)).isZero();
        assertThat(socket).doesNotExist();
    }

    @Test
    void aSocketThatAnotherOpenedIsServed() throws Exception {
        int listener = Descriptors.moveOutOfTheWay(Sockets.listenUnix(socket));
        List<String> command = Installation.command(Self.Part.DAEMON, List.of("nbd", "serve", disk.toString()));
        int pid = Spawn.start(command, System.getenv(), List.of(listener));
        try {
            JsonNode export = FerryHost.bare("nbd", "info", "--json", uri(""))
                    .done()
                    .json()
                    .path("exports")
                    .get(0);
            assertThat(export.path("sizeBytes").asLong()).isEqualTo(16 * MEBI);
        } finally {
            Spawn.signal(pid, Spawn.SIGTERM);
            Linux.close(listener);
        }
        assertThat(Spawn.await(pid).signalled()).as("it ends by itself").isFalse();
    }

    @Test
    void aDiskGoesThroughAPipeBothWays() throws Exception {
        serve();
        Path copy = folder.resolve("copy.raw");
        assertThat(exit(start(Path.of("/dev/null"), copy, "nbd", "copy", uri(""), "-")))
                .isZero();
        assertThat(copy).hasSameBinaryContentAs(disk);
        byte[] other = new byte[5 * MEBI + 77];
        new Random(4).nextBytes(other);
        Arrays.fill(other, MEBI, 3 * MEBI, (byte) 0);
        Path source = Files.write(folder.resolve("source"), other);
        Path out = folder.resolve("said");
        assertThat(exit(start(source, out, "nbd", "copy", "-", uri("")))).isZero();
        byte[] now = Files.readAllBytes(disk);
        assertThat(Arrays.copyOf(now, other.length)).isEqualTo(other);
        assertThat(Arrays.copyOfRange(now, other.length, now.length))
                .as("what the stream does not reach")
                .isEqualTo(Arrays.copyOfRange(Files.readAllBytes(copy), other.length, now.length));
        Path tooLong = Files.write(folder.resolve("long"), new byte[17 * MEBI]);
        assertThat(exit(start(tooLong, out, "nbd", "copy", "-", uri("")))).isEqualTo(1);
        assertThat(text(folder.resolve("errors"))).contains("more is coming");
    }

    @Test
    void aDiskThatFailsOnPurposeFailsTheCopy() throws Exception {
        serve("--filter", "fault=read:100%");
        FerryHost.bare("nbd", "copy", uri(""), folder.resolve("copy.raw").toString())
                .failed(1, "fault injected on purpose");
    }

    private void write(String... commands) throws Exception {
        List<String> line = new ArrayList<>(List.of("-f", "raw"));
        for (String command : commands) {
            line.addAll(List.of("-c", command));
        }
        line.add(uri(""));
        succeeds("qemu-io", line.toArray());
    }

    /** As QEMU's own backup clients read it. */
    @Test
    void whatIsChangedIsMarkedInBitmapsThatStrangersRead() throws Exception {
        serve("--bitmap", "nightly", "--bitmap", "other one");
        String map = "--map=qemu:dirty-bitmap:nightly";
        assertThat(succeeds("nbdinfo", map, uri("")).strip().split("\\s+"))
                .containsExactly("0", "16777216", "0", "clean");
        write("write -P 7 1M 64k", "write -z 4M 192k", "discard 10M 64k", "write 1100k 512", "read 8M 1M");
        assertThat(succeeds("nbdinfo", map, uri(""))
                        .strip()
                        .lines()
                        .map(line -> line.strip().replaceAll("\\s+", " ")))
                .containsExactly(
                        "0 1048576 0 clean",
                        "1048576 131072 1 dirty",
                        "1179648 3014656 0 clean",
                        "4194304 196608 1 dirty",
                        "4390912 6094848 0 clean",
                        "10485760 65536 1 dirty",
                        "10551296 6225920 0 clean");
        // qemu-img shows what is dirty as having no data.
        String image =
                "driver=nbd,server.type=unix,server.path=" + socket + ",x-dirty-bitmap=qemu:dirty-bitmap:other one";
        JsonNode seen = new JsonMapper().readTree(succeeds("qemu-img", "map", "--output=json", "--image-opts", image));
        List<String> dirty = new ArrayList<>();
        seen.forEach(extent -> {
            if (!extent.path("data").asBoolean()) {
                dirty.add(extent.path("start").asLong() + "+"
                        + extent.path("length").asLong());
            }
        });
        assertThat(dirty).containsExactly("1048576+131072", "4194304+196608", "10485760+65536");
        JsonNode own = FerryHost.bare(
                        "nbd", "info", "--map", "--json", "--context", "qemu:dirty-bitmap:nightly", uri(""))
                .done()
                .json();
        assertThat(own.get(1).path("meaning").asString()).isEqualTo("dirty");
        assertThat(own.size()).isEqualTo(7);
    }

    @Test
    void changesOfASnapshotAreSeenAndThrownAway() throws Exception {
        byte[] before = Files.readAllBytes(disk);
        Process server = serve("--snapshot");
        write("write -P 9 4M 2M", "write -P 5 100 1000", "discard 5M 64k", "flush");
        write(
                "read -P 9 4M 1M",
                "read -P 0 5M 64k",
                "read -P 9 5184k 64k",
                "read -P 5 100 1000",
                "read -P 0 0 100",
                "read -P 0 15M 1M");
        assertThat(Files.readAllBytes(disk)).isEqualTo(before);
        server.destroy();
        exit(server);
        assertThat(Files.readAllBytes(disk)).isEqualTo(before);
        serve();
        Path copy = folder.resolve("copy.raw");
        FerryHost.bare("nbd", "copy", uri(""), copy.toString()).done();
        assertThat(Files.readAllBytes(copy)).isEqualTo(before);
    }

    /** A bound from below: what is slow for other reasons proves nothing, and fails nothing. */
    @Test
    void aServerWithARateIsNoFaster() throws Exception {
        serve("--rate", "2M");
        long from = System.nanoTime();
        write("read 4M 1M", "read 5M 1M", "write 6M 1M", "read 7M 1M", "read 0 1M");
        // Four turns of half a second; a tenth may have been saved.
        assertThat(System.nanoTime() - from).isGreaterThan(1_900_000_000L);
    }

    @Test
    void aServerWithKeysLetsInWhoHasOne() throws Exception {
        Path keys = Files.writeString(folder.resolve("keys.psk"), "alice:00112233445566778899aabbccddeeff\n");
        Path other = Files.writeString(folder.resolve("other.psk"), "alice:00112233445566778899aabbccddeefe\n");
        serve("--tls-psk", keys.toString());
        String secure = uri("").replace("nbd+", "nbds+") + "&tls-psk-file=";
        FerryHost.bare("nbd", "info", secure + keys).done();
        FerryHost.bare("nbd", "info", secure + other).failed(1, "TLS");
        FerryHost.bare("nbd", "info", uri("")).failed(1, "nbds");
    }

    @Test
    void aServerWithCertificatesLetsNobodyInWithoutTls() throws Exception {
        Path pki = Files.createDirectory(folder.resolve("pki"));
        succeeds(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                pki.resolve("server-key.pem"),
                "-out",
                pki.resolve("server-cert.pem"),
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost");
        Files.copy(pki.resolve("server-cert.pem"), pki.resolve("ca-cert.pem"));
        serve("--tls-certificates", pki.toString());
        FerryHost.bare("nbd", "info", uri("")).failed(1, "nbds");
        String secure = uri("").replace("nbd+", "nbds+") + "&tls-hostname=localhost";
        assertThat(FerryHost.bare("nbd", "info", "--tls-certificates", pki.toString(), secure)
                        .done()
                        .out())
                .contains("TLS");
        FerryHost.bare("nbd", "info", "--tls-certificates", pki.toString(), secure.replace("localhost", "other"))
                .failed(1, "TLS failed");
    }
}
