package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.qcow2.StoppingFile;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vhdx.VhdxResizer;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** VHDX disks that become longer than their table of blocks has room for: it is moved, and QEMU finds it; a crash loses nothing. */
class VhdxTableTest {
    private static final long GIB = 1L << 30;
    private static final long TIB = 1L << 40;
    private static final int ROOM = 56 << 20;

    /** Of the disk that crashes: a part of a block. */
    private static final int BEGINS = 5 << 20;

    /** Of what a loss of power leaves, at each step. */
    private static final int DRAWS = 12;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(3);

    private static void resize(FileBytes file, long sizeBytes) throws BlockException {
        VhdxResizer.resize(file, sizeBytes, new UUID(31, sizeBytes));
    }

    private void resize(Path image, long sizeBytes) throws IOException, BlockException {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        resize(new LoopBytes(loop, file), sizeBytes);
        assertThat(OnLoop.await(loop, file::close)).isNull();
    }

    private static void holds(Path image, long from, long to, int value) {
        assertThat(Program.ok(
                        "qemu-io", "-f", "vhdx", "-c", "read -P " + value + " " + from + " " + (to - from), image))
                .doesNotContain("failed");
    }

    /** Of the regions: whichever is damaged, the other leads to the same table. */
    private static void bothCopiesSayTheSame(Path image) throws IOException {
        byte[] copies = new byte[128 << 10];
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "r")) {
            file.seek(192 << 10);
            file.readFully(copies);
        }
        assertThat(Arrays.mismatch(copies, 0, 64 << 10, copies, 64 << 10, 128 << 10))
                .isEqualTo(-1);
    }

    /** In blocks of 1 MiB a table of 1 MiB is full at some 128 GiB; in those of 8 MiB, at 1 TiB. */
    @ParameterizedTest
    @ValueSource(strings = {"subformat=dynamic,block_size=1M", "subformat=dynamic,block_size=8M"})
    void qemuFindsItsBlocksInATableThatWasMoved(String options) throws Exception {
        Path image = directory.resolve("disk.vhdx");
        Program.ok("qemu-img", "create", "-f", "vhdx", "-o", options, image, "20M");
        long room = options.contains("=1M") ? 127 * GIB : 1023 * GIB;
        long[] sizes = {room, room + 5 * GIB + 512, 3 * room, 7 << 20, 4 * room};
        long end = 20 << 20;
        int value = 0;
        // What was written, from where, up to where, and by what.
        Map<Long, long[]> written = new LinkedHashMap<>();
        for (long size : sizes) {
            value++;
            for (long at : new long[] {1 << 20, end - (400 << 10), end / 4 & -512}) {
                Program.ok("qemu-io", "-f", "vhdx", "-c", "write -P " + value + " " + at + " 300k", image);
                written.put(at, new long[] {at + (300 << 10), value});
            }
            resize(image, size);
            written.keySet().removeIf(at -> at >= size);
            written.values().forEach(patch -> patch[0] = Math.min(patch[0], size));
            assertThat(Program.ok("qemu-img", "info", "--output=json", "-f", "vhdx", image))
                    .contains("\"virtual-size\": " + size);
            Program.ok("qemu-img", "check", "-f", "vhdx", image);
            written.forEach((at, patch) -> holds(image, at, patch[0], (int) patch[1]));
            long behind = Math.min(end, size);
            if (size > end) {
                holds(image, behind - (100 << 10), behind + (9 << 20), 0);
                holds(image, size - (1 << 20), size, 0);
            }
            end = size;
            bothCopiesSayTheSame(image);
            ForeignDisk disk = ForeignDisk.of("vhdx", loop, image);
            assertThat(disk.device.geometry().sizeBytes()).isEqualTo(size);
            disk.close();
            OpenFile open = ForeignDisk.file(loop, image);
            assertThat(VhdxImage.open(open.bytes()).check(open.bytes()).findings())
                    .isEmpty();
            assertThat(OnLoop.await(loop, open.device()::close)).isNull();
        }
    }

    private byte[] read(byte[] left, long expectedBytes, long otherBytes) throws BlockException {
        BlockDevice file = CheckedDevice.of(CrashDisk.restored(left, ROOM), "left");
        OpenFile open = new OpenFile(new LoopBytes(loop, file), file);
        BlockDevice disk = GrownFormat.VHDX_DYNAMIC.reading(loop, open);
        long size = disk.geometry().sizeBytes();
        assertThat(size).isIn(expectedBytes, otherBytes);
        IoBuffer buffer = IoBuffer.allocate(BEGINS);
        assertThat(OnLoop.await(loop, end -> disk.read(0, buffer, 0, BEGINS, end)))
                .isNull();
        byte[] content = new byte[BEGINS];
        buffer.copyTo(0, content, 0, BEGINS);
        if (size > BEGINS) {
            IoBuffer behind = IoBuffer.allocate(1 << 20);
            for (long at : new long[] {BEGINS, size / 2, size - behind.capacity()}) {
                assertThat(OnLoop.await(loop, end -> disk.read(at, behind, 0, behind.capacity(), end)))
                        .isNull();
                assertThat(behind.isZero(0, behind.capacity())).isTrue();
            }
        }
        assertThat(VhdxImage.open(open.bytes()).check(open.bytes()).findings()).isEmpty();
        return content;
    }

    @Test
    void aCrashLeavesOneSizeOrTheOtherAndAllBlocks() throws Exception {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            MemoryDisk made = MemoryDisk.growing(ROOM);
            GrownFormat.VHDX_DYNAMIC.create(new LoopBytes(loop, made), BEGINS);
            byte[] content = new byte[BEGINS];
            BlockDevice file = CheckedDevice.of(made, "made");
            BlockDevice device = CheckedDevice.of(
                    GrownFormat.VHDX_DYNAMIC.open(loop, new OpenFile(new LoopBytes(loop, file), file)), "disk");
            for (int at : new int[] {0, 3 << 20, BEGINS - (64 << 10)}) {
                byte[] bytes = new byte[64 << 10];
                random.nextBytes(bytes);
                System.arraycopy(bytes, 0, content, at, bytes.length);
                IoBuffer buffer = IoBuffer.allocate(bytes.length);
                buffer.copyFrom(bytes, 0, 0, bytes.length);
                assertThat(OnLoop.await(loop, end -> device.write(at, buffer, 0, bytes.length, 0, end)))
                        .isNull();
            }
            assertThat(OnLoop.await(loop, device::close)).isNull();
            byte[] image = made.bytes(0, (int) made.lengthBytes());
            long to = 2 * TIB;
            boolean done = false;
            for (int steps = 0; !done; steps++) {
                CrashDisk disk = new CrashDisk(loop, random.nextLong(), ROOM, true);
                disk.fill(image);
                try {
                    resize(new StoppingFile(new LoopBytes(loop, CheckedDevice.of(disk, "crashing")), steps), to);
                    done = true;
                } catch (BlockException stopped) {
                    assertThat(stopped).hasMessageContaining("stopped");
                    assertThat(steps).isLessThan(200);
                }
                for (int draw = 0; draw < DRAWS; draw++) {
                    byte[] left = disk.afterCrash(random.split(), draw == 0);
                    assertThat(Arrays.mismatch(read(left, to, done ? to : BEGINS), content))
                            .as("after " + steps + " steps")
                            .isEqualTo(-1);
                    if (draw < 2) {
                        assertThat(Arrays.mismatch(readAgain(again(left, 2 * to), 2 * to), content))
                                .as("longer after " + steps + " steps")
                                .isEqualTo(-1);
                    }
                }
            }
        });
    }

    /** From whatever there is to a size that wants another table. */
    private byte[] again(byte[] left, long bytes) throws BlockException {
        MemoryDisk again = CrashDisk.restored(left, ROOM);
        resize(new LoopBytes(loop, CheckedDevice.of(again, "again")), bytes);
        return again.bytes(0, (int) again.lengthBytes());
    }

    private byte[] readAgain(byte[] left, long bytes) throws BlockException {
        return read(left, bytes, bytes);
    }
}
