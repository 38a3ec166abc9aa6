package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

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
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Damaged and hostile images: a clear error and nothing else; what is not damaged can still be read. */
class HostileImageTest {
    private static final int SIZE = 1 << 20;
    private static final int ROOM = 64 << 20;

    private final SimLoop loop = new SimLoop(1);

    private byte[] image(Qcow2Options options) throws Exception {
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        BlockDevice file = CheckedDevice.of(disk, "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        Qcow2Creator.create(bytes, SIZE, options);
        Qcow2Device device = device(file, Qcow2Image.openForWriting(bytes));
        IoBuffer buffer = IoBuffer.allocate(SIZE);
        new SplittableRandom(1)
                .ints(SIZE / 8)
                .forEach(i -> buffer.segment().set(ValueLayout.JAVA_BYTE, i & (SIZE - 1), (byte) (i >> 24)));
        assertThat(OnLoop.await(loop, end -> device.write(0, buffer, 0, SIZE / 2, 0, end)))
                .isNull();
        assertThat(OnLoop.await(loop, device::close)).isNull();
        return disk.bytes(0, (int) disk.lengthBytes());
    }

    private Qcow2Device device(BlockDevice file, Qcow2Image image) {
        return new Qcow2Device(loop, file, image, null, BufferPool.ofBytes(16 << 20), loop, Qcow2Settings.DEFAULT);
    }

    private LoopBytes bytes(byte[] content) {
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        disk.fill(0, content);
        return new LoopBytes(loop, CheckedDevice.of(disk, "file"));
    }

    /** Opens it, reads, writes and zeroes it, asks for its map, checks and mends it: each ends, well or with an error. */
    private void use(byte[] content) {
        try {
            Qcow2Image image = Qcow2Image.openReadOnly(bytes(content));
            exercise(content, image.sizeBytes(), false);
            exercise(content, image.sizeBytes(), true);
        } catch (BlockException clear) {
            assertThat(clear.error().detail()).isNotBlank();
        }
        try {
            CheckReport report = Qcow2Checker.check(bytes(content), Qcow2Checker.Repair.ALL);
            assertThat(report).isNotNull();
        } catch (BlockException clear) {
            assertThat(clear.error().detail()).isNotBlank();
        }
    }

    private void exercise(byte[] content, long size, boolean write) throws BlockException {
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        disk.fill(0, content);
        BlockDevice file = CheckedDevice.of(disk, "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        BlockDevice device = CheckedDevice.of(
                device(file, write ? Qcow2Image.openForWriting(bytes) : Qcow2Image.openReadOnly(bytes)), "image");
        IoBuffer buffer = IoBuffer.allocate(64 << 10);
        for (long at = 0; at < Math.min(size, SIZE); at += 64 << 10) {
            long from = at;
            int length = (int) Math.min(64 << 10, size - at);
            ended(OnLoop.await(loop, end -> device.read(from, buffer, 0, length, end)));
            if (write) {
                ended(OnLoop.await(loop, end -> device.write(from, buffer, 0, Math.min(length, 5000), 0, end)));
                ended(OnLoop.await(loop, end -> device.discard(from, Math.min(length, 40_000), 0, end)));
            }
        }
        if (size > 0) {
            ended(OnLoop.await(loop, end -> device.extents(0, size, (offset, length, state) -> {}, end)));
        }
        ended(OnLoop.await(loop, device::close));
    }

    private static void ended(@org.jspecify.annotations.Nullable BlockError error) {
        assertThat(error == null || !error.detail().isBlank()).isTrue();
    }

    @Test
    void damageAnywhereInTheTablesIsAClearError() {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            for (Qcow2Options options : new Qcow2Options[] {
                Qcow2Options.DEFAULT.withClusterBits(12),
                Qcow2Options.DEFAULT.withVersion(2).withClusterBits(9),
                Qcow2Options.DEFAULT.withExtendedL2().withClusterBits(14)
            }) {
                byte[] sound = image(options);
                for (int round = 0; round < 60; round++) {
                    byte[] damaged = sound.clone();
                    int hits = 1 + random.nextInt(4);
                    for (int i = 0; i < hits; i++) {
                        damage(damaged, random);
                    }
                    use(damaged);
                }
            }
        });
    }

    private static void damage(byte[] image, SplittableRandom random) {
        int at = random.nextInt(random.nextBoolean() ? 112 : Math.min(image.length - 8, 24 << 10));
        switch (random.nextInt(5)) {
            case 0 -> image[at] = (byte) random.nextInt();
            case 1 -> image[at] ^= (byte) (1 << random.nextInt(8));
            case 2 -> Qcow2Layout.u64(image, at & ~7, random.nextLong());
            case 3 -> Qcow2Layout.u64(image, at & ~7, (random.nextLong(image.length) & ~511L) | Qcow2Layout.COPIED);
            default -> Qcow2Layout.s32(image, at & ~3, random.nextBoolean() ? -1 : Integer.MAX_VALUE);
        }
    }

    @Test
    void aFileThatEndsAnywhereIsAClearError() throws Exception {
        byte[] sound = image(Qcow2Options.DEFAULT.withClusterBits(12));
        for (int length = 0; length < 30_000; length += 997) {
            use(Arrays.copyOf(sound, length));
        }
    }

    private void refused(byte[] content, ErrorKind kind, String word) {
        assertThatThrownBy(() -> Qcow2Image.openReadOnly(bytes(content)))
                .isInstanceOfSatisfying(
                        BlockException.class, e -> assertThat(e.kind()).isEqualTo(kind))
                .hasMessageContaining(word);
    }

    @Test
    void whatIsBeyondThisVersionIsNamed() throws Exception {
        byte[] content = image(Qcow2Options.DEFAULT);
        content[Qcow2Layout.INCOMPATIBLE] = 1;
        refused(content, ErrorKind.UNSUPPORTED, "feature bit 56");
        content[Qcow2Layout.INCOMPATIBLE] = 0;
        content[Qcow2Layout.CRYPT_METHOD + 3] = 2;
        refused(content, ErrorKind.UNSUPPORTED, "LUKS");
        content[Qcow2Layout.CRYPT_METHOD + 3] = 0;
        content[Qcow2Layout.VERSION + 3] = 4;
        refused(content, ErrorKind.UNSUPPORTED, "version 4");
    }

    @Test
    void numbersOutOfBoundsAreCorruption() throws Exception {
        byte[] sound = image(Qcow2Options.DEFAULT);
        int[] fields = {
            Qcow2Layout.CLUSTER_BITS, Qcow2Layout.L1_ENTRIES, Qcow2Layout.REFCOUNT_TABLE_CLUSTERS,
            Qcow2Layout.SNAPSHOT_COUNT, Qcow2Layout.REFCOUNT_ORDER, Qcow2Layout.HEADER_LENGTH
        };
        for (int field : fields) {
            byte[] content = sound.clone();
            Qcow2Layout.s32(content, field, -1);
            refused(content, ErrorKind.CORRUPT, "");
        }
        for (int field : new int[] {Qcow2Layout.L1_OFFSET, Qcow2Layout.REFCOUNT_TABLE_OFFSET, Qcow2Layout.SIZE}) {
            byte[] content = sound.clone();
            Qcow2Layout.u64(content, field, 1L << 62);
            refused(content, ErrorKind.CORRUPT, "");
        }
        byte[] content = sound.clone();
        Qcow2Layout.u64(content, Qcow2Layout.BACKING_OFFSET, 200);
        Qcow2Layout.s32(content, Qcow2Layout.BACKING_LENGTH, 5000);
        refused(content, ErrorKind.CORRUPT, "backing_file_size");
        Qcow2Layout.s32(content, Qcow2Layout.BACKING_LENGTH, 1000);
        Qcow2Layout.u64(content, Qcow2Layout.BACKING_OFFSET, 1 << 20);
        refused(content, ErrorKind.CORRUPT, "backing_file_offset");
    }

    /** An L2 entry that points at the header: reading it is harmless, a write must not get there. */
    @Test
    void aGuestCannotWriteToMetadata() throws Exception {
        byte[] content = image(Qcow2Options.DEFAULT);
        int l2 = (int)
                Qcow2Layout.hostOffset(Qcow2Layout.u64(content, (int) Qcow2Layout.u64(content, Qcow2Layout.L1_OFFSET)));
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        for (long target : new long[] {0x10000, 0x20000, l2}) {
            Qcow2Layout.u64(content, l2, target | Qcow2Layout.COPIED);
            disk.fill(0, content);
            BlockDevice file = CheckedDevice.of(disk, "file");
            BlockDevice device =
                    CheckedDevice.of(device(file, Qcow2Image.openForWriting(new LoopBytes(loop, file))), "image");
            IoBuffer buffer = IoBuffer.allocate(4096);
            BlockError error = OnLoop.await(loop, end -> device.write(0, buffer, 0, 4096, 0, end));
            assertThat(error == null ? null : error.kind()).isEqualTo(ErrorKind.CORRUPT);
            BlockError zeroed = OnLoop.await(loop, end -> device.writeZeroes(0, 4096, 0, end));
            assertThat(zeroed == null ? null : zeroed.kind()).isEqualTo(ErrorKind.CORRUPT);
            assertThat(disk.bytes(target, 512))
                    .isEqualTo(Arrays.copyOfRange(content, (int) target, (int) target + 512));
        }
    }

    @Test
    void extendedEntriesInClustersThatAreTooSmallAreCorruption() throws Exception {
        byte[] content = image(Qcow2Options.DEFAULT.withClusterBits(13));
        content[Qcow2Layout.INCOMPATIBLE + 7] = 1 << 4;
        refused(content, ErrorKind.CORRUPT, "16 KiB at least");
    }

    /** Data and zeroes at once, data without a place, and both of a compressed cluster: neither read nor written, but mended. */
    @Test
    void whatCannotBeSaidOfSubclustersIsFoundAndMended() throws Exception {
        byte[] sound = image(Qcow2Options.DEFAULT.withExtendedL2());
        int l2 = (int)
                Qcow2Layout.hostOffset(Qcow2Layout.u64(sound, (int) Qcow2Layout.u64(sound, Qcow2Layout.L1_OFFSET)));
        byte[] content = sound.clone();
        Qcow2Layout.u64(content, l2 + 8, Qcow2Layout.u64(content, l2 + 8) | 1L << 32 | 1L << 35);
        // The last cluster of the disk, which has nothing.
        int last = l2 + 16 * (SIZE / (128 << 10) - 1);
        Qcow2Layout.u64(content, last + 8, 0x10);
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        disk.fill(0, content);
        BlockDevice file = CheckedDevice.of(disk, "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        BlockDevice device = CheckedDevice.of(device(file, Qcow2Image.openForWriting(bytes)), "image");
        IoBuffer buffer = IoBuffer.allocate(4096);
        for (long at : new long[] {0, 3 * 4096, SIZE - (128 << 10) + 4 * 4096}) {
            BlockError read = OnLoop.await(loop, end -> device.read(at, buffer, 0, 4096, end));
            assertThat(read == null ? null : read.kind()).isEqualTo(ErrorKind.CORRUPT);
            BlockError written = OnLoop.await(loop, end -> device.write(at, buffer, 0, 512, 0, end));
            assertThat(written == null ? null : written.kind()).isEqualTo(ErrorKind.CORRUPT);
            BlockError zeroed = OnLoop.await(loop, end -> device.writeZeroes(at, 4096, 0, end));
            assertThat(zeroed == null ? null : zeroed.kind()).isEqualTo(ErrorKind.CORRUPT);
        }
        assertThat(OnLoop.await(loop, end -> device.read(4096, buffer, 0, 4096, end)))
                .isNull();
        LoopBytes again = bytes(content);
        assertThat(Qcow2Checker.check(again, Qcow2Checker.Repair.NONE).corruptions())
                .isEqualTo(2);
        CheckReport mended = Qcow2Checker.check(again, Qcow2Checker.Repair.ALL);
        assertThat(mended.clean()).isTrue();
        assertThat(mended.corruptionsFixed()).isEqualTo(2);
        byte[] left = again.read(0, sound.length);
        assertThat(Arrays.mismatch(left, sound)).isEqualTo(-1);
    }

    @Test
    void anImageMarkedCorruptIsReadAndNotWritten() throws Exception {
        byte[] content = image(Qcow2Options.DEFAULT);
        content[Qcow2Layout.INCOMPATIBLE + 7] = 2;
        assertThat(Qcow2Image.openReadOnly(bytes(content)).sizeBytes()).isEqualTo(SIZE);
        assertThatThrownBy(() -> Qcow2Image.openForWriting(bytes(content))).hasMessageContaining("marked as corrupt");
        LoopBytes mended = bytes(content);
        assertThat(Qcow2Checker.check(mended, Qcow2Checker.Repair.ALL).clean()).isTrue();
        assertThat(Qcow2Image.openForWriting(mended).sizeBytes()).isEqualTo(SIZE);
    }
}
