package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Seeds;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;

/** Chains of disks of a daemon are committed and streamed while a guest writes and the daemon is killed. */
@Timeout(300)
final class DiskChainTest {
    private static final int MEBI = 1 << 20;
    private static final int SIZE = 4 * MEBI;
    private static final int KILLS = 1;

    private static Path file(FerryHost host, String name) {
        return host.directory.resolve("fast").resolve(name);
    }

    /** A chain of so many layers below disk {@code vm}, the lowest in this format; gives what the disk holds. */
    private static byte[] chain(FerryHost host, String format, int layers, SplittableRandom random) throws Exception {
        byte[] content = new byte[SIZE];
        for (int at = 0; at < SIZE; at += 256 << 10) {
            if (random.nextInt(3) > 0) {
                byte[] some = new byte[100 << 10];
                random.nextBytes(some);
                System.arraycopy(some, 0, content, at, some.length);
            }
        }
        Path raw = Files.write(host.directory.resolve("base.raw"), content);
        succeeds("qemu-img", "convert", "-f", "raw", "-O", format, raw, file(host, "layer1"));
        String below = format;
        for (int i = 2; i <= layers; i++) {
            Path next = file(host, "layer" + i);
            succeeds("qemu-img", "create", "-f", "qcow2", "-b", "layer" + (i - 1), "-F", below, next);
            below = "qcow2";
            int at = random.nextInt(SIZE / 4096 - 100) * 4096;
            int zeroes = random.nextInt(SIZE / 4096 - 100) * 4096;
            succeeds(
                    "qemu-io",
                    "-f",
                    "qcow2",
                    "-c",
                    "write -P " + (60 + i) + " " + at + " 300k",
                    "-c",
                    "write -z " + zeroes + " 200k",
                    next);
            Arrays.fill(content, at, at + (300 << 10), (byte) (60 + i));
            Arrays.fill(content, zeroes, zeroes + (200 << 10), (byte) 0);
        }
        host.run(
                        "disk",
                        "create",
                        "vm",
                        "--datastore",
                        "fast",
                        "--backing",
                        "layer" + layers,
                        "--backing-format",
                        below)
                .done();
        return content;
    }

    private static String attached(FerryHost host) {
        return host.run("disk", "attach", "vm").done().out().strip();
    }

    private static JsonNode shown(FerryHost host) {
        return host.run("disk", "show", "vm", "--json").done().json();
    }

    private static void after(TortureGuest guest, int operations) {
        long wanted = guest.operations.get() + operations;
        FerryHost.until(() -> {
            guest.assertWell();
            return guest.operations.get() >= wanted;
        });
    }

    private static boolean over(FerryHost host) {
        JsonNode jobs = host.run("disk", "job", "ls", "--json").done().json();
        return jobs.isEmpty() || !jobs.get(0).path("state").asString().equals("running");
    }

    /** Detached, the disk is what the guest left, for QEMU too. */
    private static void holds(FerryHost host, TortureGuest guest, String format) throws Exception {
        guest.stopAndRead();
        Path file = Path.of(shown(host).path("path").asString());
        host.run("disk", "detach", "vm").done();
        if (format.equals("qcow2")) {
            // A kill may leave clusters that are counted and used by nobody; nothing else is to be found.
            assertThat(succeeds("qemu-img", "check", "-r", "leaks", "-f", "qcow2", file))
                    .doesNotContain("ERROR");
        }
        Path plain = host.directory.resolve("plain.raw");
        succeeds("qemu-img", "convert", "-f", format, "-O", "raw", file, plain);
        guest.checkFile(plain);
    }

    @Test
    void aLayerThatIsCommittedGoesWithItsDataFile() throws Exception {
        try (FerryHost host = FerryHost.started()) {
            SplittableRandom random = new SplittableRandom(1);
            byte[] content = new byte[SIZE];
            random.nextBytes(content);
            Files.write(file(host, "base"), content);
            Path data = file(host, "between.data");
            Path between = file(host, "between");
            String[] create = {"image", "create", between.toString(), "--format", "qcow2", "--backing", "base"};
            List<String> words = new ArrayList<>(List.of(create));
            words.addAll(List.of("--backing-format", "raw", "--data-file", "between.data"));
            FerryHost.bare(words.toArray(String[]::new)).done();
            succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 300k", between);
            Arrays.fill(content, MEBI, MEBI + (300 << 10), (byte) 7);
            host.run("disk", "create", "vm", "--datastore", "fast", "--backing", "between", "--backing-format", "qcow2")
                    .done();
            assertThat(data).exists();
            host.run("disk", "commit", "vm", "--depth", "2").done();
            assertThat(file(host, "vm.raw")).hasBinaryContent(content);
            try (Stream<Path> left = Files.list(file(host, "."))) {
                assertThat(left.map(path -> path.getFileName().toString())).containsExactly("vm.raw");
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"raw, 1, 1", "qcow2, 3, 2"})
    void aCommitGoesOnWhenTheDaemonIsKilledUnderAGuest(String format, int layers, int depth) {
        Seeds.run(1, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            try (FerryHost host = FerryHost.started()) {
                byte[] content = chain(host, format, layers, random);
                try (TortureGuest guest = new TortureGuest(attached(host), content, seed)) {
                    after(guest, 20);
                    host.run("disk", "commit", "vm", "--depth", String.valueOf(depth), "--rate", "2M", "--detach")
                            .done();
                    for (int kill = 0; kill < KILLS; kill++) {
                        after(guest, random.nextInt(60));
                        host.killDaemon();
                        host.run("disk", "ls").done();
                    }
                    if (!over(host)) {
                        host.run("disk", "job", "rate", "vm", "0");
                    }
                    FerryHost.until(() -> over(host));
                    JsonNode now = shown(host);
                    String has = depth == layers ? format : "qcow2";
                    assertThat(now.path("chain").size()).isEqualTo(layers + 1 - depth);
                    assertThat(now.path("format").asString()).isEqualTo(has);
                    assertThat(Path.of(now.path("path").asString())).isEqualTo(file(host, "vm." + has));
                    after(guest, 20);
                    holds(host, guest, has);
                }
                try (Stream<Path> left = Files.list(file(host, "."))) {
                    assertThat(left.map(path -> path.getFileName().toString()))
                            .hasSize(layers + 1 - depth)
                            .noneMatch(name -> name.equals("layer" + layers));
                }
                host.run("disk", "rm", "vm").done();
            }
        });
    }

    @ParameterizedTest
    @CsvSource({"raw, 1, -", "qcow2, 3, layer1"})
    void aStreamGoesOnWhenTheDaemonIsKilledUnderAGuest(String format, int layers, String from) {
        Seeds.run(1, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            try (FerryHost host = FerryHost.started()) {
                byte[] content = chain(host, format, layers, random);
                boolean whole = from.equals("-");
                try (TortureGuest guest = new TortureGuest(attached(host), content, seed)) {
                    after(guest, 20);
                    List<String> command = new ArrayList<>(List.of("disk", "stream", "vm", "--rate", "2M", "--detach"));
                    if (!whole) {
                        command.addAll(List.of("--from", from));
                    }
                    host.run(command.toArray(String[]::new)).done();
                    for (int kill = 0; kill < KILLS; kill++) {
                        after(guest, random.nextInt(60));
                        host.killDaemon();
                        host.run("disk", "ls").done();
                    }
                    if (!over(host)) {
                        host.run("disk", "job", "rate", "vm", "0");
                    }
                    FerryHost.until(() -> over(host));
                    assertThat(shown(host).path("chain").size()).isEqualTo(whole ? 1 : 2);
                    // It needs them no more.
                    for (int i = whole ? 1 : 2; i <= layers; i++) {
                        Files.delete(file(host, "layer" + i));
                    }
                    after(guest, 20);
                    holds(host, guest, "qcow2");
                }
            }
        });
    }

    @Test
    void jobsAndMovesExcludeEachOtherAndACancelLeavesTheDiskAsItWas() throws Exception {
        try (FerryHost host = FerryHost.started()) {
            byte[] content = chain(host, "qcow2", 2, new SplittableRandom(7));
            try (TortureGuest guest = new TortureGuest(attached(host), content, 7)) {
                after(guest, 20);
                assertThat(host.run("disk", "show", "vm").done().out()).contains("DEPTH", "layer2", "layer1");
                host.run("disk", "commit", "vm", "--depth", "3").failed(1, "layers 1 to 2");
                host.run("disk", "commit", "vm", "--into", "layer7").failed(1, "none of the files below it");
                for (String what : List.of("commit", "stream")) {
                    host.run("disk", what, "vm", "--rate", "64K", "--detach").done();
                    host.run("disk", "stream", "vm").failed(1, "its chain is being changed");
                    host.run("migrate", "vm", "--to", "slow").failed(1, "its chain is being changed");
                    host.run("disk", "rm", "vm").failed(1, "its chain is being changed");
                    after(guest, 20);
                    host.run("disk", "job", "cancel", "vm").done();
                    FerryHost.until(() -> over(host));
                    assertThat(host.run("disk", "job", "ls").done().out()).contains("cancelled");
                    assertThat(shown(host).path("chain").size()).isEqualTo(3);
                    after(guest, 20);
                }
                host.run("disk", "job", "cancel", "vm").failed(1, "no job");
                host.run("migrate", "vm", "--to", "slow", "--rate", "64K", "--detach")
                        .done();
                host.run("disk", "commit", "vm").failed(1, "is being moved");
                host.run("migration", "cancel", "m1").done();
                FerryHost.until(() -> shown(host).path("state").asString().equals("attached"));
                succeeds("qemu-img", "create", "-f", "qcow2", "-b", "layer2", "-F", "qcow2", file(host, "other.qcow2"));
                assertThat(shown(host)
                                .path("chain")
                                .get(1)
                                .path("sharedBy")
                                .get(0)
                                .asString())
                        .endsWith("other.qcow2");
                host.run("disk", "commit", "vm").failed(1, "other.qcow2", "another then");
                Files.delete(file(host, "other.qcow2"));
                host.run("disk", "commit", "vm", "--json").done();
                assertThat(shown(host).path("chain").size()).isEqualTo(2);
                after(guest, 20);
                holds(host, guest, "qcow2");
            }
            host.run("disk", "create", "x", "--datastore", "fast", "--backing", "vm.qcow2", "--backing-format", "qcow2")
                    .failed(1, "is disk vm");
            host.run("disk", "create", "x", "--datastore", "fast", "--backing", "../b", "--backing-format", "raw")
                    .failed(2, "not in the folder");
            host.run("disk", "stream", "vm").done();
            host.run("disk", "stream", "vm").failed(1, "it has no backing file");
            assertThat(shown(host).path("chain").size()).isEqualTo(1);
        }
    }
}
