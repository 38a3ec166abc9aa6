package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.github.luben.zstd.Zstd;
import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.LoopBytes;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimLoop;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.zip.Deflater;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Entries of tables that mean ill, one by one, each with what comes of it: compressed clusters that are too much or too little, clusters
 * past the end and of two entries at once, reserved bits, snapshots out of bounds.
 */
class DamagedClustersTest {
    private static final int CLUSTER = 64 << 10;
    private static final int SIZE = 1 << 20;
    private static final int ROOM = 64 << 20;

    private final SimLoop loop = new SimLoop(1);

    /** With data in its first two clusters. */
    private byte[] image(boolean zstd) throws BlockException {
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        LoopBytes bytes = new LoopBytes(loop, CheckedDevice.of(disk, "file"));
        Qcow2Creator.create(bytes, SIZE, zstd ? Qcow2Options.DEFAULT.withZstd() : Qcow2Options.DEFAULT);
        BlockDevice device = device(disk, true);
        IoBuffer buffer = IoBuffer.allocate(2 * CLUSTER);
        byte[] data = new byte[2 * CLUSTER];
        new SplittableRandom(4).nextBytes(data);
        buffer.copyFrom(data, 0, 0, data.length);
        assertThat(OnLoop.await(loop, end -> device.write(0, buffer, 0, data.length, 0, end)))
                .isNull();
        assertThat(OnLoop.await(loop, device::close)).isNull();
        return disk.bytes(0, (int) disk.lengthBytes());
    }

    private BlockDevice device(MemoryDisk disk, boolean write) throws BlockException {
        BlockDevice file = CheckedDevice.of(disk, "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        Qcow2Image image = write ? Qcow2Image.openForWriting(bytes) : Qcow2Image.openReadOnly(bytes);
        return CheckedDevice.of(
                new Qcow2Device(loop, file, image, null, BufferPool.ofBytes(16 << 20), loop, Qcow2Settings.DEFAULT),
                "image");
    }

    private static MemoryDisk disk(byte[] content) {
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        disk.fill(0, content);
        return disk;
    }

    private static int l2(byte[] image) {
        return (int)
                Qcow2Layout.hostOffset(Qcow2Layout.u64(image, (int) Qcow2Layout.u64(image, Qcow2Layout.L1_OFFSET)));
    }

    private static byte[] packed(boolean zstd, byte[] content) {
        if (zstd) {
            return Zstd.compress(content);
        }
        try (Deflater deflater = new Deflater(9, true)) {
            deflater.setInput(content);
            deflater.finish();
            byte[] packed = new byte[content.length + 100];
            return Arrays.copyOf(packed, deflater.deflate(packed));
        }
    }

    /** The image with its second cluster packed, at the end of the file. */
    private byte[] withPacked(boolean zstd, byte[] packed, int missing) throws BlockException {
        byte[] sound = image(zstd);
        int at = (sound.length + CLUSTER - 1) / CLUSTER * CLUSTER + 24;
        byte[] image = Arrays.copyOf(sound, at + packed.length - missing);
        System.arraycopy(packed, 0, image, at, packed.length - missing);
        Qcow2Layout.u64(image, l2(image) + 8, Qcow2Layout.packedEntry(at, packed.length, 16));
        return image;
    }

    private @Nullable BlockError read(byte[] image, long at, byte[] into) throws BlockException {
        BlockDevice device = device(disk(image), false);
        IoBuffer buffer = IoBuffer.allocate(into.length);
        BlockError error = OnLoop.await(loop, end -> device.read(at, buffer, 0, into.length, end));
        buffer.copyTo(0, into, 0, into.length);
        assertThat(OnLoop.await(loop, device::close)).isNull();
        return error;
    }

    private void corrupt(byte[] image, long at) throws BlockException {
        BlockError error = read(image, at, new byte[512]);
        assertThat(error == null ? null : error.kind())
                .as(String.valueOf(error))
                .isEqualTo(ErrorKind.CORRUPT);
        assertThat(read(image, 0, new byte[CLUSTER]))
                .as("the cluster before it")
                .isNull();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aCompressedClusterThatUnpacksToMoreIsItsFirstCluster(boolean zstd) throws Exception {
        byte[] bomb = new byte[32 << 20];
        Arrays.fill(bomb, (byte) 7);
        bomb[CLUSTER] = 8;
        byte[] packed = packed(zstd, bomb);
        assertThat(packed.length).isLessThan(CLUSTER);
        byte[] image = withPacked(zstd, packed, 0);
        byte[] found = new byte[2 * CLUSTER];
        assertThat(read(image, CLUSTER, found)).isNull();
        assertThat(Arrays.mismatch(found, Arrays.copyOf(Arrays.copyOf(bomb, CLUSTER), 2 * CLUSTER)))
                .as("and what follows reads as nothing")
                .isEqualTo(-1);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aCompressedClusterThatUnpacksToLessOrToNothingIsCorrupt(boolean zstd) throws Exception {
        byte[] half = new byte[CLUSTER / 2];
        new SplittableRandom(2).nextBytes(half);
        corrupt(withPacked(zstd, packed(zstd, half), 0), CLUSTER);
        byte[] noise = new byte[5000];
        new SplittableRandom(3).nextBytes(noise);
        corrupt(withPacked(zstd, noise, 0), CLUSTER);
        corrupt(withPacked(zstd, new byte[700], 0), CLUSTER);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aCompressedClusterPastTheEndIsCorrupt(boolean zstd) throws Exception {
        byte[] content = new byte[CLUSTER];
        new SplittableRandom(5).nextBytes(content);
        Arrays.fill(content, 0, CLUSTER / 2, (byte) 3);
        byte[] packed = packed(zstd, content);
        // The sectors of the last one may go past the end, as others leave them.
        byte[] found = new byte[CLUSTER];
        assertThat(read(withPacked(zstd, packed, 0), CLUSTER, found)).isNull();
        assertThat(Arrays.mismatch(found, content)).isEqualTo(-1);
        corrupt(withPacked(zstd, packed, packed.length / 2), CLUSTER);
        byte[] image = image(zstd);
        for (long at : new long[] {image.length, 1L << 40, (1L << 54) - 512}) {
            Qcow2Layout.u64(image, l2(image) + 8, Qcow2Layout.packedEntry(at, 512, 16));
            corrupt(image, CLUSTER);
        }
    }

    @Test
    void aClusterPastTheEndIsNeitherReadNorWritten() throws Exception {
        byte[] image = image(false);
        long behind = (image.length + CLUSTER - 1L) / CLUSTER * CLUSTER + CLUSTER;
        for (long at : new long[] {behind, 1L << 50}) {
            Qcow2Layout.u64(image, l2(image) + 8, at | Qcow2Layout.COPIED);
            corrupt(image, CLUSTER);
            assertThat(Qcow2Checker.check(bytes(image), Qcow2Checker.Repair.NONE)
                            .corruptions())
                    .isPositive();
            MemoryDisk disk = disk(image);
            BlockDevice device = device(disk, true);
            IoBuffer buffer = IoBuffer.allocate(512);
            BlockError error = OnLoop.await(loop, end -> device.write(CLUSTER, buffer, 0, 512, 0, end));
            assertThat(error == null ? null : error.kind()).isEqualTo(ErrorKind.CORRUPT);
            assertThat(OnLoop.await(loop, device::close)).isNull();
            assertThat(disk.lengthBytes()).as("the file").isLessThan(ROOM);
        }
    }

    private LoopBytes bytes(byte[] content) {
        return new LoopBytes(loop, CheckedDevice.of(disk(content), "file"));
    }

    /** Two clusters of the disk in one of the file: the check finds that, and mended each has its own again when it is written to. */
    @Test
    void entriesThatShareAClusterAreFoundAndMended() throws Exception {
        byte[] image = image(false);
        int l2 = l2(image);
        Qcow2Layout.u64(image, l2 + 8, Qcow2Layout.u64(image, l2));
        MemoryDisk disk = disk(image);
        LoopBytes bytes = new LoopBytes(loop, CheckedDevice.of(disk, "file"));
        assertThat(Qcow2Checker.check(bytes, Qcow2Checker.Repair.NONE).corruptions())
                .isPositive();
        assertThatThrownBy(() -> Qcow2Snapshots.create(bytes, "no", 0, 0)).hasMessageContaining("damaged");
        assertThat(Qcow2Checker.check(bytes, Qcow2Checker.Repair.ALL).clean()).isTrue();
        byte[] before = new byte[CLUSTER];
        byte[] mended = disk.bytes(0, (int) disk.lengthBytes());
        assertThat(read(mended, 0, before)).isNull();
        BlockDevice device = device(disk, true);
        IoBuffer buffer = IoBuffer.allocate(4096);
        buffer.zero(0, 4096);
        assertThat(OnLoop.await(loop, end -> device.write(CLUSTER, buffer, 0, 4096, 0, end)))
                .isNull();
        assertThat(OnLoop.await(loop, device::close)).isNull();
        byte[] first = new byte[CLUSTER];
        byte[] left = disk.bytes(0, (int) disk.lengthBytes());
        assertThat(read(left, 0, first)).isNull();
        assertThat(Arrays.mismatch(first, before)).as("the other one").isEqualTo(-1);
        byte[] second = new byte[4096];
        assertThat(read(left, CLUSTER, second)).isNull();
        assertThat(second).isEqualTo(new byte[4096]);
    }

    @Test
    void reservedBitsAreCorruption() throws Exception {
        byte[] sound = image(false);
        int l2 = l2(sound);
        int l1 = (int) Qcow2Layout.u64(sound, Qcow2Layout.L1_OFFSET);
        for (long bit : new long[] {1L << 1, 1L << 8, 1L << 56, 1L << 61}) {
            byte[] image = sound.clone();
            Qcow2Layout.u64(image, l2 + 8, Qcow2Layout.u64(image, l2 + 8) | bit);
            corrupt(image, CLUSTER);
            assertThat(Qcow2Checker.check(bytes(image), Qcow2Checker.Repair.NONE)
                            .corruptions())
                    .isPositive();
        }
        for (long bit : new long[] {1L, 1L << 8, 1L << 56, 1L << 62}) {
            byte[] image = sound.clone();
            Qcow2Layout.u64(image, l1, Qcow2Layout.u64(image, l1) | bit);
            assertThat(Qcow2Checker.check(bytes(image), Qcow2Checker.Repair.NONE)
                            .corruptions())
                    .as("bit " + bit)
                    .isPositive();
            assertThatThrownBy(() -> {
                        BlockError error = read(image, 0, new byte[512]);
                        if (error != null) {
                            throw error.toException();
                        }
                    })
                    .as("bit " + bit)
                    .isInstanceOfSatisfying(
                            BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.CORRUPT));
        }
    }

    private void refused(byte[] image) {
        assertThatThrownBy(() -> {
                    Qcow2Image _ = Qcow2Image.openReadOnly(bytes(image));
                    Qcow2Image _ = Qcow2Image.openSnapshot(bytes(image), "one");
                })
                .isInstanceOfSatisfying(
                        BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.CORRUPT));
        assertThatThrownBy(() -> Qcow2Checker.check(bytes(image), Qcow2Checker.Repair.ALL))
                .isInstanceOf(BlockException.class);
    }

    @Test
    void aSnapshotTableOutOfBoundsIsCorruption() throws Exception {
        LoopBytes file = bytes(image(false));
        Qcow2Snapshots.create(file, "one", 0, 0);
        byte[] sound = file.read(0, (int) file.lengthBytes());
        assertThat(Qcow2Image.openSnapshot(bytes(sound), "one").sizeBytes()).isEqualTo(SIZE);
        for (long offset : new long[] {1L << 62, -CLUSTER, Long.MAX_VALUE & -CLUSTER, 512, sound.length + CLUSTER}) {
            byte[] image = sound.clone();
            Qcow2Layout.u64(image, Qcow2Layout.SNAPSHOT_OFFSET, offset);
            refused(image);
        }
        for (int count : new int[] {-1, Integer.MAX_VALUE, 65_537}) {
            byte[] image = sound.clone();
            Qcow2Layout.s32(image, Qcow2Layout.SNAPSHOT_COUNT, count);
            refused(image);
        }
        int table = (int) Qcow2Layout.u64(sound, Qcow2Layout.SNAPSHOT_OFFSET);
        // The L1 table of the snapshot: where it is, and how long; then its names, and what else it has.
        for (long offset : new long[] {1L << 62, 512, sound.length + CLUSTER, Long.MAX_VALUE & -CLUSTER}) {
            byte[] image = sound.clone();
            Qcow2Layout.u64(image, table, offset);
            refused(image);
        }
        for (int at : new int[] {8, 36}) {
            for (int number : new int[] {-1, Integer.MAX_VALUE}) {
                byte[] image = sound.clone();
                Qcow2Layout.s32(image, table + at, number);
                refused(image);
            }
        }
    }
}
