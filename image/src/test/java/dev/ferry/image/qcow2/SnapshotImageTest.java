package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.ChannelDisk;
import dev.ferry.image.FileBytes;
import dev.ferry.image.FilePatch;
import dev.ferry.image.LoopBytes;
import dev.ferry.image.Program;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * QEMU makes images with internal snapshots by random histories: written, zeroed, discarded, compressed, grown, snapshots made, gone back
 * to and deleted. An image of the snapshots alone is made; QEMU finds nothing wrong in it, and every snapshot as it was. The disk is
 * brought after by what it has of its own, and takes no more room than before.
 */
class SnapshotImageTest {
    private static final int SIZE = 3 << 20;
    private static final int STEPS = 14;
    private static final int PIECE = 100_000;

    @TempDir
    Path directory;

    private record History(Path image, boolean overlay, int sizeBytes, boolean forgets) {}

    private History history(SplittableRandom random, String options, boolean overlay, boolean compresses)
            throws Exception {
        Path image = directory.resolve("source.qcow2");
        List<Object> create = new ArrayList<>(List.of("create", "-f", "qcow2", "-o", options));
        if (overlay) {
            byte[] under = new byte[SIZE - 70_000];
            random.nextBytes(under);
            create.addAll(List.of("-b", Files.write(directory.resolve("base.raw"), under), "-F", "raw"));
        }
        create.addAll(List.of(image, SIZE));
        Program.ok("qemu-img", create.toArray());
        if (compresses) {
            byte[] packed = new byte[SIZE];
            for (int at = 0; at < SIZE; at += 100) {
                packed[at] = (byte) random.nextInt();
            }
            Path raw = Files.write(directory.resolve("packed.raw"), packed);
            Program.ok("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, raw, image);
        }
        TreeSet<Integer> there = new TreeSet<>();
        int size = SIZE;
        int made = 0;
        boolean forgets = compresses;
        for (int step = 0; step < STEPS || there.isEmpty(); step++) {
            int kind = random.nextInt(10);
            if (kind < 5) {
                write(image, random, size);
            } else if (kind < 8 || there.isEmpty()) {
                Program.ok("qemu-img", "snapshot", "-c", "s" + ++made, image);
                there.add(made);
            } else if (kind == 8) {
                int one = List.copyOf(there).get(random.nextInt(there.size()));
                if (random.nextBoolean()) {
                    Program.ok("qemu-img", "snapshot", "-a", "s" + one, image);
                    size = Math.toIntExact(sizeOf(image));
                } else if (there.size() > 1) {
                    Program.ok("qemu-img", "snapshot", "-d", "s" + one, image);
                    there.remove(one);
                    forgets = true;
                }
            } else if (!options.contains("compat=0.10")) {
                size += 512 * (1 + random.nextInt(1000));
                Program.ok("qemu-img", "resize", "-f", "qcow2", image, size);
            }
        }
        if (!options.contains("compat=0.10")) {
            Program.ok("qemu-img", "bitmap", "--add", image, "followed");
            write(image, random, size);
        }
        return new History(image, overlay, size, forgets);
    }

    private static long sizeOf(Path image) throws Exception {
        try (OpenImage open = OpenImage.readOnly(image)) {
            return open.device.geometry().sizeBytes();
        }
    }

    private static void write(Path image, SplittableRandom random, int size) {
        List<Object> commands = new ArrayList<>(List.of("-f", "qcow2"));
        for (int i = 0; i < 4; i++) {
            int length = 512 * (1 + random.nextInt(random.nextBoolean() ? 20 : 700));
            int at = random.nextInt((size - length) / 512) * 512;
            String how = random.nextInt(3) == 0
                    ? (random.nextBoolean() ? "write -z " : "write -z -u ")
                    : "write -P " + (1 + random.nextInt(250)) + " ";
            commands.add("-c");
            commands.add(how + at + " " + length);
        }
        commands.add(image);
        Program.ok("qemu-io", commands.toArray());
    }

    // ---- the image of the snapshots

    private record Begun(SnapshotTables tables, Path target) {}

    private Begun begin(History from) throws Exception {
        Path target = directory.resolve("target.qcow2");
        SimLoop loop = new SimLoop(4);
        BlockDevice file = CheckedDevice.of(new ChannelDisk(from.image), "file");
        FileBytes bytes = new LoopBytes(loop, file);
        SnapshotTables tables = SnapshotTables.of(bytes);
        SnapshotImage image = SnapshotImage.of(
                bytes,
                tables,
                from.overlay
                        ? new SnapshotImage.Below(directory.resolve("base.raw").toString(), "raw")
                        : null);
        byte[] whole = new byte[Math.toIntExact(image.lengthBytes())];
        IoBuffer piece = IoBuffer.allocate(PIECE);
        // Pieces know nothing of clusters.
        for (int at = 0; at < whole.length; at += PIECE) {
            int length = Math.min(PIECE, whole.length - at);
            piece.copyFrom(bytes.read(at, length), 0, 0, length);
            image.put(at, length, piece, 0);
            piece.copyTo(0, whole, at, length);
        }
        Files.write(target, whole);
        long kept = 0;
        for (long at = 0, to; at < image.lengthBytes(); at = to) {
            to = image.partEnd(at, image.lengthBytes());
            kept += image.part(at) == FilePatch.Part.KEPT ? to - at : 0;
            if (image.part(at) == FilePatch.Part.FREE) {
                byte[] zeroes = new byte[Math.toIntExact(to - at)];
                assertThat(Arrays.equals(whole, (int) at, (int) to, zeroes, 0, zeroes.length))
                        .isTrue();
            }
        }
        assertThat(kept).isEqualTo(image.keptBytes());
        assertThat(OnLoop.await(loop, file::close)).isNull();
        try (OpenImage open = OpenImage.readOnly(target)) {
            assertThat(open.device.geometry().sizeBytes()).isEqualTo(from.sizeBytes);
        }
        return new Begun(tables, target);
    }

    private void assertSound(Path image) throws Exception {
        assertThat(Program.ok("qemu-img", "check", "-f", "qcow2", image))
                .contains("No errors were found")
                .doesNotContain("leaked");
        assertThat(OpenImage.check(image, Qcow2Checker.Repair.NONE).findings()).isEmpty();
    }

    private void assertSameSnapshots(Path source, Path target) throws Exception {
        assertThat(Program.ok("qemu-img", "snapshot", "-l", target))
                .isEqualTo(Program.ok("qemu-img", "snapshot", "-l", source));
        assertThat(describe(target).snapshots()).isEqualTo(describe(source).snapshots());
        for (Qcow2Description.SnapshotDescription one : describe(source).snapshots()) {
            assertThat(Arrays.mismatch(content(target, one.id()), content(source, one.id())))
                    .as("snapshot %s", one.name())
                    .isEqualTo(-1);
        }
    }

    /** As QEMU reads it. */
    private byte[] content(Path image, @Nullable String snapshot) throws Exception {
        Path raw = directory.resolve("content.raw");
        if (snapshot == null) {
            Program.ok("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw);
        } else {
            Program.ok("qemu-img", "convert", "-f", "qcow2", "-l", "snapshot.id=" + snapshot, "-O", "raw", image, raw);
        }
        return Files.readAllBytes(raw);
    }

    private static Qcow2Description describe(Path image) throws Exception {
        SimLoop loop = new SimLoop(4);
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        Qcow2Description told = Qcow2Description.of(new LoopBytes(loop, file));
        assertThat(OnLoop.await(loop, file::close)).isNull();
        return told;
    }

    // ---- the disk

    private OpenImage open(History from, Path image) throws Exception {
        return from.overlay
                ? OpenImage.open(image, CheckedDevice.of(new ChannelDisk(directory.resolve("base.raw")), "base"))
                : OpenImage.open(image);
    }

    private record Run(long at, int length, int state) {}

    private static List<Run> own(OpenImage image) {
        List<Run> runs = new ArrayList<>();
        long size = image.device.geometry().sizeBytes();
        long[] known = {0};
        ExtentSink sink = (at, length, state) -> {
            assertThat(at).isEqualTo(known[0]);
            known[0] += length;
            if (state != ExtentSink.HOLE) {
                runs.add(new Run(at, Math.toIntExact(length), state));
            }
        };
        while (known[0] < size) {
            assertThat(OnLoop.await(image.loop, end -> image.image.ownExtents(known[0], size - known[0], sink, end)))
                    .isNull();
        }
        return runs;
    }

    /** As a mirror does it: what either side has of its own is copied. */
    private void bringAfter(History from, Begun begun) throws Exception {
        try (OpenImage source = open(from, from.image);
                OpenImage target = open(from, begun.target)) {
            source.image.compareWith(begun.tables);
            target.image.compareWith(begun.tables);
            assertThat(source.image.belowBytes()).isEqualTo(from.sizeBytes);
            assertThat(own(target)).isEmpty();
            for (Run run : own(source)) {
                IoBuffer buffer = IoBuffer.allocate(run.length);
                if ((run.state & ExtentSink.ZERO) != 0) {
                    assertThat(OnLoop.await(target.loop, end -> target.device.writeZeroes(run.at, run.length, 0, end)))
                            .isNull();
                } else {
                    assertThat(OnLoop.await(source.loop, end -> source.device.read(run.at, buffer, 0, run.length, end)))
                            .isNull();
                    assertThat(OnLoop.await(
                                    target.loop, end -> target.device.write(run.at, buffer, 0, run.length, 0, end)))
                            .isNull();
                }
            }
            assertThat(OnLoop.await(target.loop, target.device::flush)).isNull();
        }
    }

    private static long clustersInUse(Path image) throws Exception {
        SimLoop loop = new SimLoop(4);
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        FileBytes bytes = new LoopBytes(loop, file);
        References all = Qcow2Checker.soundReferences(bytes);
        long count = 0;
        for (long cluster = 0; cluster <= all.highest(); cluster++) {
            count += all.has(cluster) ? 1 : 0;
        }
        assertThat(OnLoop.await(loop, file::close)).isNull();
        return count;
    }

    @ParameterizedTest
    @CsvSource({
        "'cluster_size=64k', false, false",
        "'cluster_size=64k', false, true",
        "'cluster_size=64k', true, false",
        "'cluster_size=512', false, false",
        "'cluster_size=4k,refcount_bits=8', false, false",
        "'cluster_size=4k,refcount_bits=64', true, false",
        "'cluster_size=2M', false, false",
        "'cluster_size=64k,compat=0.10', false, false",
        "'cluster_size=4k,compat=0.10', true, false",
        "'extended_l2=on,cluster_size=16k', false, false",
        "'extended_l2=on,cluster_size=64k', true, false",
        "'cluster_size=64k,compression_type=zstd,lazy_refcounts=on', false, true",
        "'cluster_size=16k', false, true"
    })
    void everySnapshotIsAsItWasAndTheDiskToo(String options, boolean overlay, boolean compresses) {
        Seeds.run(seed -> {
            Files.deleteIfExists(directory.resolve("source.qcow2"));
            Files.deleteIfExists(directory.resolve("target.qcow2"));
            History from = history(new SplittableRandom(seed), options, overlay, compresses);
            Begun begun = begin(from);
            assertSound(begun.target);
            assertSameSnapshots(from.image, begun.target);
            bringAfter(from, begun);
            assertSound(begun.target);
            assertSameSnapshots(from.image, begun.target);
            assertThat(Arrays.mismatch(content(begun.target, null), content(from.image, null)))
                    .isEqualTo(-1);
            // What shares with a snapshot only over one that is gone, or is compressed, may come apart.
            if (!from.forgets) {
                long before = clustersInUse(from.image);
                assertThat(clustersInUse(begun.target)).isLessThanOrEqualTo(before + before / 4 + 8);
            }
        });
    }

    /** Each of so many snapshots has a part of its own, and shares the rest with all. */
    @ParameterizedTest
    @CsvSource({"'cluster_size=64k'", "'cluster_size=4k'", "'extended_l2=on,cluster_size=64k'"})
    void whatIsSharedIsThereOnce(String options) throws Exception {
        Path image = directory.resolve("source.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", "-o", options, image, SIZE);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 " + SIZE, image);
        for (int i = 1; i <= 8; i++) {
            Program.ok("qemu-img", "snapshot", "-c", "s" + i, image);
            int at = (i * 256) << 10;
            Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P " + (1 + i) + " " + at + " 64k", image);
        }
        Program.ok("qemu-img", "snapshot", "-a", "s4", image);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 99 0 64k", image);
        History from = new History(image, false, SIZE, false);
        Begun begun = begin(from);
        bringAfter(from, begun);
        assertSound(begun.target);
        assertSameSnapshots(image, begun.target);
        assertThat(clustersInUse(begun.target)).isLessThanOrEqualTo(clustersInUse(image) + 1);
    }

    /** The snapshot that the disk went back to is gone; what is shared with the one that was left then is there once all the same. */
    @ParameterizedTest
    @CsvSource({"'cluster_size=64k'", "'extended_l2=on,cluster_size=64k'", "'cluster_size=64k,compat=0.10'"})
    void whatIsSharedWithOneThatWasLeftIsThereOnce(String options) throws Exception {
        Path image = directory.resolve("source.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", "-o", options, image, SIZE);
        change(image, "write -P 1 0 " + SIZE);
        Program.ok("qemu-img", "snapshot", "-c", "gone", image);
        change(image, "write -P 2 1M 128k");
        Program.ok("qemu-img", "snapshot", "-c", "left", image);
        Program.ok("qemu-img", "snapshot", "-a", "gone", image);
        Program.ok("qemu-img", "snapshot", "-d", "gone", image);
        change(image, "write -P 3 2M 64k");
        History from = new History(image, false, SIZE, true);
        Begun begun = begin(from);
        bringAfter(from, begun);
        assertSound(begun.target);
        assertSameSnapshots(image, begun.target);
        assertThat(Arrays.mismatch(content(begun.target, null), content(image, null)))
                .isEqualTo(-1);
        assertThat(clustersInUse(begun.target)).isLessThanOrEqualTo(clustersInUse(image) + 1);
    }

    /** A larger disk's data lies behind the end of this one, with which it shares a table: it does not come up when this one grows. */
    @Test
    void nothingShowsBehindTheEndOfTheDisk() throws Exception {
        Path image = directory.resolve("source.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", image, SIZE);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 1M", image);
        Program.ok("qemu-img", "snapshot", "-c", "small", image);
        Program.ok("qemu-img", "resize", "-f", "qcow2", image, 2 * SIZE);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 2 " + (SIZE + (1 << 20)) + " 1M", image);
        Program.ok("qemu-img", "snapshot", "-c", "large", image);
        Program.ok("qemu-img", "snapshot", "-a", "small", image);
        Program.ok("qemu-img", "snapshot", "-d", "small", image);
        History from = new History(image, false, SIZE, true);
        Begun begun = begin(from);
        bringAfter(from, begun);
        assertSound(begun.target);
        assertSameSnapshots(image, begun.target);
        for (Path one : List.of(image, begun.target)) {
            Program.ok("qemu-img", "resize", "-f", "qcow2", one, 2 * SIZE);
        }
        assertThat(Arrays.mismatch(content(begun.target, null), content(image, null)))
                .isEqualTo(-1);
    }

    /** An entry of a snapshot's table claims that its cluster is the disk's alone: what is written to the disk stays out of it. */
    @Test
    void aFlagThatIsWrongCostsNoSnapshot() throws Exception {
        Path image = directory.resolve("source.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", image, SIZE);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 1M", image);
        Program.ok("qemu-img", "snapshot", "-c", "then", image);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 2 2M 64k", image);
        SimLoop loop = new SimLoop(4);
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        FileBytes bytes = new LoopBytes(loop, file);
        Qcow2Header header = Qcow2Header.read(bytes);
        Snapshot then = Snapshot.read(bytes, header).snapshots().getFirst();
        long table = Qcow2Layout.hostOffset(Qcow2Image.longs(bytes, then.l1Offset(), 1)[0]);
        byte[] entry = bytes.read(table, Long.BYTES);
        entry[0] |= (byte) 0x80;
        bytes.write(table, entry);
        assertThat(OnLoop.await(loop, file::close)).isNull();
        byte[] held = content(image, "1");
        History from = new History(image, false, SIZE, true);
        Begun begun = begin(from);
        bringAfter(from, begun);
        try (OpenImage open = OpenImage.open(begun.target)) {
            open.write(0, new byte[512]);
        }
        assertThat(Arrays.mismatch(content(begun.target, "1"), held)).isEqualTo(-1);
    }

    /**
     * The snapshot that the disk came from is gone, so it is compared with another one, which has something else in each place: zeroes,
     * data or nothing, over zeroes, data or nothing.
     */
    @ParameterizedTest
    @CsvSource({
        "'cluster_size=64k', true",
        "'cluster_size=64k', false",
        "'cluster_size=64k,extended_l2=on', true",
        "'cluster_size=64k,extended_l2=on', false"
    })
    void eachKindOfDifferenceIsTheDisksOwn(String options, boolean overlay) throws Exception {
        History from = new History(directory.resolve("source.qcow2"), overlay, SIZE, true);
        List<Object> create = new ArrayList<>(List.of("create", "-f", "qcow2", "-o", options));
        if (overlay) {
            byte[] under = new byte[SIZE];
            new SplittableRandom(4).nextBytes(under);
            create.addAll(List.of("-b", Files.write(directory.resolve("base.raw"), under), "-F", "raw"));
        }
        create.addAll(List.of(from.image, SIZE));
        Program.ok("qemu-img", create.toArray());
        change(from.image, "write -P 1 0 256k", "write -z 1M 192k");
        Program.ok("qemu-img", "snapshot", "-c", "gone", from.image);
        change(from.image, "write -z 2M 64k", "write -P 2 2112k 64k", "write -P 3 1M 64k", "write -z 2176k 64k");
        change(from.image, "write -P 4 2240k 64k", "write -z -u 64k 64k");
        Program.ok("qemu-img", "snapshot", "-c", "other", from.image);
        Program.ok("qemu-img", "snapshot", "-a", "gone", from.image);
        Program.ok("qemu-img", "snapshot", "-d", "gone", from.image);
        change(
                from.image,
                "write -z 2560k 64k",
                "write -P 5 2176k 64k",
                "write -P 6 2624k 64k",
                "write -P 7 2240k 64k");
        Begun begun = begin(from);
        bringAfter(from, begun);
        assertSound(begun.target);
        assertSameSnapshots(from.image, begun.target);
        assertThat(Arrays.mismatch(content(begun.target, null), content(from.image, null)))
                .isEqualTo(-1);
    }

    private static void change(Path image, String... commands) {
        List<Object> all = new ArrayList<>(List.of("-f", "qcow2"));
        for (String command : commands) {
            all.addAll(List.of("-c", command));
        }
        all.add(image);
        Program.ok("qemu-io", all.toArray());
    }
}
