package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
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
import tools.jackson.databind.json.JsonMapper;

/** Disks of a daemon are moved with what they lie over, chains that QEMU has made, and QEMU finds the same chain at the target. */
@Timeout(300)
final class ChainMoveTest {
    private static final int SIZE = 4 << 20;
    private static final JsonMapper JSON = JsonMapper.builder().build();
    /** Shorter than the disks over it. */
    private static final int BASE_BYTES = 3 << 20;

    private static Path fast(FerryHost host, String name) {
        return host.directory.resolve("fast").resolve(name);
    }

    private static Path slow(FerryHost host, String name) {
        return host.directory.resolve("slow").resolve(name);
    }

    private static List<String> names(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(path -> path.getFileName().toString()).sorted().toList();
        }
    }

    /** So many files below a disk, the first the lowest; gives what a disk over them reads like. */
    private static byte[] below(FerryHost host, String format, int layers, SplittableRandom random) throws Exception {
        byte[] base = new byte[BASE_BYTES];
        for (int at = 0; at < BASE_BYTES; at += 256 << 10) {
            byte[] some = new byte[100 << 10];
            random.nextBytes(some);
            System.arraycopy(some, 0, base, at, some.length);
        }
        byte[] content = Arrays.copyOf(base, SIZE);
        Path raw = Files.write(host.directory.resolve("base.raw"), base);
        succeeds("qemu-img", "convert", "-f", "raw", "-O", format, raw, fast(host, "layer1"));
        String under = format;
        for (int i = 2; i <= layers; i++) {
            Path next = fast(host, "layer" + i);
            succeeds("qemu-img", "create", "-f", "qcow2", "-b", "layer" + (i - 1), "-F", under, next, SIZE);
            under = "qcow2";
            write(next, content, 60 + i, random);
        }
        return content;
    }

    private static void write(Path file, byte[] content, int pattern, SplittableRandom random) throws Exception {
        int at = random.nextInt(SIZE / 4096 - 100) * 4096;
        int zeroes = random.nextInt(SIZE / 4096 - 100) * 4096;
        succeeds(
                "qemu-io",
                "-f",
                "qcow2",
                "-c",
                "write -P " + pattern + " " + at + " 300k",
                "-c",
                "write -z " + zeroes + " 200k",
                file);
        Arrays.fill(content, at, at + (300 << 10), (byte) pattern);
        Arrays.fill(content, zeroes, zeroes + (200 << 10), (byte) 0);
    }

    /** A disk over the uppermost of so many files, with something of its own. */
    private static byte[] disk(
            FerryHost host, String name, byte[] below, String format, int layers, SplittableRandom random)
            throws Exception {
        String under = layers == 1 ? format : "qcow2";
        host.run(
                        "disk",
                        "create",
                        name,
                        "--datastore",
                        "fast",
                        "--backing",
                        "layer" + layers,
                        "--backing-format",
                        under,
                        "--size",
                        String.valueOf(SIZE))
                .done();
        byte[] content = below.clone();
        write(fast(host, name + ".qcow2"), content, 90, random);
        return content;
    }

    private static String attached(FerryHost host, String disk) {
        return host.run("disk", "attach", disk).done().out().strip();
    }

    private static void after(TortureGuest guest, int operations) {
        long wanted = guest.operations.get() + operations;
        FerryHost.until(() -> {
            guest.assertWell();
            return guest.operations.get() >= wanted;
        });
    }

    private static JsonNode migration(FerryHost host) {
        return host.run("migration", "show", "m1", "--json").done().json();
    }

    private static boolean done(FerryHost host) {
        JsonNode now = migration(host);
        assertThat(now.path("state").asString()).as(now.toString()).isNotEqualTo("failed");
        return now.path("state").asString().equals("done");
    }

    /** What QEMU says is in which file of the chain, wherever in that file it is. */
    private static List<String> map(Path file) throws Exception {
        List<String> runs = new ArrayList<>();
        String last = "";
        for (JsonNode extent : JSON.readTree(succeeds("qemu-img", "map", "--output=json", file))) {
            String what = "depth " + extent.path("depth").asInt() + " data "
                    + extent.path("data").asBoolean();
            if (!what.equals(last)) {
                runs.add(extent.path("start").asLong() + " " + what);
            }
            last = what;
        }
        return runs;
    }

    /** Names of a chain's files, from the top. */
    private static List<String> chain(Path file) throws Exception {
        return succeeds("qemu-img", "info", "--backing-chain", file)
                .lines()
                .filter(line -> line.startsWith("image: "))
                .map(line -> line.substring("image: ".length()))
                .toList();
    }

    @Test
    void qemuFindsTheSameChain() throws Exception {
        String format = "qcow2";
        int depth = 3;
        try (FerryHost host = FerryHost.started()) {
            SplittableRandom random = new SplittableRandom(depth);
            byte[] content = disk(host, "vm", below(host, format, depth, random), format, depth, random);
            List<String> before = map(fast(host, "vm.qcow2"));
            List<byte[]> files = new ArrayList<>();
            for (int i = 1; i <= depth; i++) {
                files.add(Files.readAllBytes(fast(host, "layer" + i)));
            }
            String plan = host.run("migrate", "vm", "--to", "slow", "--with-snapshots", "--dry-run")
                    .done()
                    .out();
            assertThat(plan).contains("base").contains("layer" + depth + " below vm");
            assertThat(names(host.directory.resolve("slow"))).isEmpty();
            host.run("migrate", "vm", "--to", "slow", "--with-snapshots", "--keep-source", "--json")
                    .done();
            assertThat(map(slow(host, "vm.qcow2"))).isEqualTo(before);
            for (int i = 1; i <= depth; i++) {
                assertThat(slow(host, "layer" + i)).hasBinaryContent(files.get(i - 1));
            }
            assertThat(chain(slow(host, "vm.qcow2")))
                    .hasSize(depth + 1)
                    .allMatch(file ->
                            file.startsWith(host.directory.resolve("slow").toString()));
            succeeds("qemu-img", "compare", fast(host, "vm.qcow2"), slow(host, "vm.qcow2"));
            succeeds("qemu-img", "check", slow(host, "vm.qcow2"));
            assertThat(names(host.directory.resolve("fast"))).hasSize(depth + 1);
            assertThat(host.run("migration", "show", "m1").done().out()).contains("base", "copied to", "proven equal");
            Path plain = host.directory.resolve("plain.raw");
            succeeds("qemu-img", "convert", "-O", "raw", slow(host, "vm.qcow2"), plain);
            assertThat(plain).hasBinaryContent(content);
        }
    }

    @ParameterizedTest
    @CsvSource({"raw, 1, true", "qcow2, 3, false"})
    void itGoesOnWhenTheDaemonIsKilledUnderAGuest(String format, int depth, boolean whileBelow) throws Exception {
        try (FerryHost host = FerryHost.started()) {
            SplittableRandom random = new SplittableRandom(depth);
            byte[] content = disk(host, "vm", below(host, format, depth, random), format, depth, random);
            try (TortureGuest guest = new TortureGuest(attached(host, "vm"), content, depth)) {
                after(guest, 20);
                host.run("migrate", "vm", "--to", "slow", "--with-snapshots", "--rate", "2M", "--detach")
                        .done();
                FerryHost.until(() -> {
                    JsonNode now = migration(host);
                    boolean below = now.path("phase").asString().equals("create");
                    return now.path("doneBytes").asLong() > 0 && (whileBelow || !below);
                });
                after(guest, 20);
                host.killDaemon();
                after(guest, 20);
                assertThat(host.run("migration", "ls").done().out()).contains("m1");
                host.run("migration", "rate", "m1", "0");
                FerryHost.until(() -> done(host));
                after(guest, 20);
                guest.stopAndRead();
                host.run("disk", "detach", "vm").done();
                assertThat(names(host.directory.resolve("fast"))).isEmpty();
                assertThat(names(host.directory.resolve("slow"))).hasSize(depth + 1);
                assertThat(chain(slow(host, "vm.qcow2"))).hasSize(depth + 1);
                Path plain = host.directory.resolve("plain.raw");
                succeeds("qemu-img", "check", "-r", "leaks", slow(host, "vm.qcow2"));
                succeeds("qemu-img", "convert", "-O", "raw", slow(host, "vm.qcow2"), plain);
                guest.checkFile(plain);
            }
        }
    }

    @Test
    void disksThatShareFilesAndWhatIsRefused() throws Exception {
        try (FerryHost host = FerryHost.started()) {
            SplittableRandom random = new SplittableRandom(9);
            byte[] below = below(host, "raw", 2, random);
            disk(host, "vm1", below, "raw", 2, random);
            disk(host, "vm2", below, "raw", 2, random);
            disk(host, "vm3", below, "raw", 2, random);
            host.run("migrate", "vm1", "--to", "slow", "--with-snapshots", "--format", "vmdk")
                    .failed(2, "lies over no backing file");
            host.run("migrate", "vm1", "--to", "slow", "--with-snapshots", "--mode", "snapshot")
                    .failed(2, "--mode snapshot");
            assertThat(names(host.directory.resolve("slow"))).isEmpty();
            assertThat(host.run("migrate", "vm1", "vm2", "--to", "slow", "--with-snapshots")
                            .done()
                            .out())
                    .contains("layer1 went along; proven equal; the old file stays, others lie over it");
            assertThat(names(host.directory.resolve("slow")))
                    .containsExactly("layer1", "layer2", "vm1.qcow2", "vm2.qcow2");
            assertThat(names(host.directory.resolve("fast"))).containsExactly("layer1", "layer2", "vm3.qcow2");
            assertThat(host.run("migrate", "vm3", "--to", "slow", "--with-snapshots")
                            .done()
                            .out())
                    .contains("layer2 was there already");
            assertThat(names(host.directory.resolve("slow")))
                    .containsExactly("layer1", "layer2", "vm1.qcow2", "vm2.qcow2", "vm3.qcow2");
            assertThat(names(host.directory.resolve("fast"))).isEmpty();
            assertThat(succeeds("qemu-img", "check", slow(host, "vm3.qcow2"))).doesNotContain("ERROR");
        }
    }

    /** QEMU's extents have room for a descriptor, and nothing there. */
    @Test
    void extentsThatQemuMadeGoWithTheirDiskAndKeepNothingElse() throws Exception {
        try (FerryHost host = FerryHost.started()) {
            Path raw = host.directory.resolve("plain.raw");
            try (RandomAccessFile file = new RandomAccessFile(raw.toFile(), "rw")) {
                file.setLength(5L << 30);
                for (long at : new long[] {1 << 20, 3L << 30, (5L << 30) - 4096}) {
                    file.seek(at);
                    file.write(new byte[] {1, 2, 3});
                }
            }
            host.run("disk", "create", "split", "--datastore", "fast", "--size", "5G", "--format", "vmdk")
                    .done();
            Files.delete(fast(host, "split.vmdk"));
            for (String name : List.of("base", "other", "split")) {
                String split = "subformat=twoGbMaxExtentSparse";
                succeeds("qemu-img", "convert", "-O", "vmdk", "-o", split, raw, fast(host, name + ".vmdk"));
            }
            List<String> others = List.of("other-s001.vmdk", "other-s002.vmdk", "other-s003.vmdk", "other.vmdk");
            String over = "--backing=base.vmdk";
            host.run("disk", "create", "vm", "--datastore", "fast", over, "--backing-format=vmdk", "--format=vmdk")
                    .done();
            host.run("migrate", "vm", "--to", "slow", "--with-snapshots").done();
            assertThat(names(host.directory.resolve("slow")))
                    .containsExactly("base-s001.vmdk", "base-s002.vmdk", "base-s003.vmdk", "base.vmdk", "vm.vmdk");
            succeeds("qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, slow(host, "vm.vmdk"));
            assertThat(names(host.directory.resolve("fast"))).hasSize(8).containsAll(others);
            host.run("disk", "rm", "split").done();
            assertThat(names(host.directory.resolve("fast"))).containsExactlyElementsOf(others);
        }
    }
}
