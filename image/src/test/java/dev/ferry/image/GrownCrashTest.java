package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A crash at any point while VMDK, VHD and VHDX disks are written leaves a disk that opens: what was flushed is there, of what was
 * written since the new or the old is there. A crash of the process alone loses nothing that was acknowledged.
 */
class GrownCrashTest {
    private static final int SECTOR = 512;

    /** Of more than one block of a VHD disk. */
    private static final int SIZE = 5 << 20;

    private static final int ROOM = 96 << 20;
    private static final int SECTORS_USED = 40;

    @TempDir
    Path directory;

    /** A few sectors far apart, each with a number in it that says which write it comes from. */
    private static final class Guest {
        private final SimLoop loop;
        private final SplittableRandom random;
        private final int[] sectors = new int[SECTORS_USED];
        private final List<Set<Long>> possible = new ArrayList<>();
        private final long[] acknowledged = new long[SECTORS_USED];
        private final boolean[] inFlight = new boolean[SECTORS_USED];
        private long tag;
        private int left;

        Guest(SimLoop loop, long seed) {
            this.loop = loop;
            this.random = new SplittableRandom(seed);
            for (int i = 0; i < SECTORS_USED; i++) {
                // Some share a grain with their neighbour.
                sectors[i] = i % 3 == 0 && i > 0 ? sectors[i - 1] + 1 : random.nextInt(SIZE / SECTOR - 1) & ~1;
                possible.add(new HashSet<>(Set.of(0L)));
            }
        }

        private boolean twice(int index) {
            for (int i = 0; i < index; i++) {
                if (sectors[i] == sectors[index]) {
                    return true;
                }
            }
            return false;
        }

        void batch(BlockDevice device) {
            for (int n = 0; n < 5; n++) {
                int i = random.nextInt(SECTORS_USED);
                if (!inFlight[i] && !twice(i)) {
                    write(device, i);
                }
            }
        }

        private void write(BlockDevice device, int i) {
            long value = random.nextInt(4) == 0 ? 0 : ++tag;
            possible.get(i).add(value);
            inFlight[i] = true;
            left++;
            byte[] bytes = new byte[SECTOR];
            ByteBuffer fields = ByteBuffer.wrap(bytes);
            while (fields.hasRemaining()) {
                fields.putLong(value);
            }
            IoBuffer buffer = IoBuffer.allocate(SECTOR);
            buffer.copyFrom(bytes, 0, 0, SECTOR);
            device.write((long) sectors[i] * SECTOR, buffer, 0, SECTOR, 0, error -> {
                assertThat(error).isNull();
                acknowledged[i] = value;
                inFlight[i] = false;
                left--;
            });
        }

        void await() {
            assertThat(loop.runUntil(() -> left == 0, Long.MAX_VALUE)).isTrue();
        }

        void flush(BlockDevice device) {
            await();
            assertThat(OnLoop.await(loop, device::flush)).isNull();
            for (int i = 0; i < SECTORS_USED; i++) {
                possible.set(i, new HashSet<>(Set.of(acknowledged[i])));
            }
        }

        void verify(byte[] content, boolean processOnly) {
            for (int i = 0; i < SECTORS_USED; i++) {
                if (twice(i)) {
                    continue;
                }
                ByteBuffer fields = ByteBuffer.wrap(content, sectors[i] * SECTOR, SECTOR);
                long found = fields.getLong();
                while (fields.hasRemaining()) {
                    assertThat(fields.getLong()).as("a part of sector " + i).isEqualTo(found);
                }
                assertThat(possible.get(i)).as("sector " + i).contains(found);
                if (processOnly && !inFlight[i]) {
                    assertThat(found).as("acknowledged, sector " + i).isEqualTo(acknowledged[i]);
                }
            }
        }
    }

    private static byte[] made(GrownFormat format) throws Exception {
        SimLoop loop = new SimLoop(1);
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        format.create(new LoopBytes(loop, disk), SIZE);
        return disk.bytes(0, (int) disk.lengthBytes());
    }

    /** The disk in a file that a crash left, read, and written to once more. */
    private static byte[] contentOf(GrownFormat format, byte[] left, boolean write) throws Exception {
        SimLoop loop = new SimLoop(1);
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        disk.resize(left.length, error -> assertThat(error).isNull());
        for (int at = 0; at < left.length; at += 4096) {
            byte[] part = Arrays.copyOfRange(left, at, Math.min(left.length, at + 4096));
            if (!Arrays.equals(part, new byte[part.length])) {
                disk.fill(at, part);
            }
        }
        BlockDevice file = CheckedDevice.of(disk, "left");
        LoopBytes bytes = new LoopBytes(loop, file);
        BlockDevice device =
                write ? format.open(loop, new OpenFile(bytes, file)) : format.reading(loop, new OpenFile(bytes, file));
        if (write) {
            for (int at = SECTOR; at < SIZE; at += 1 << 20) {
                long from = at;
                BlockDevice checked = CheckedDevice.of(device, "again");
                IoBuffer before = IoBuffer.allocate(SECTOR);
                assertThat(OnLoop.await(loop, end -> checked.read(from, before, 0, SECTOR, end)))
                        .isNull();
                assertThat(OnLoop.await(loop, end -> checked.write(from, before, 0, SECTOR, 0, end)))
                        .isNull();
            }
        }
        IoBuffer whole = IoBuffer.allocate(SIZE);
        assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, SIZE, end)))
                .isNull();
        byte[] content = new byte[SIZE];
        whole.copyTo(0, content, 0, SIZE);
        return content;
    }

    private void crashes(GrownFormat format, long seed, boolean flushes) throws Exception {
        SimLoop loop = new SimLoop(seed);
        SplittableRandom chance = new SplittableRandom(seed);
        CrashDisk disk = new CrashDisk(loop, seed, ROOM, flushes);
        disk.fill(made(format));
        BlockDevice file = CheckedDevice.of(disk, "crashing");
        BlockDevice device = CheckedDevice.of(format.open(loop, new OpenFile(new LoopBytes(loop, file), file)), "disk");
        Guest guest = new Guest(loop, seed);
        for (int batch = 0; batch < 8; batch++) {
            guest.batch(device);
            for (int point = 0; point < 3; point++) {
                loop.runFor(chance.nextInt(4000));
                boolean processOnly = chance.nextInt(3) == 0;
                byte[] left = disk.afterCrash(chance, processOnly);
                guest.verify(contentOf(format, left, chance.nextInt(4) == 0), processOnly);
            }
            if (chance.nextInt(3) == 0) {
                guest.flush(device);
            }
        }
        guest.flush(device);
        boolean[] ended = new boolean[1];
        device.close(error -> {
            assertThat(error).isNull();
            ended[0] = true;
        });
        while (!ended[0]) {
            guest.verify(contentOf(format, disk.afterCrash(chance, false), false), false);
            loop.runFor(chance.nextInt(2000));
        }
        byte[] left = disk.afterCrash(chance, true);
        guest.verify(contentOf(format, left, false), true);
        Path image = Files.write(directory.resolve("left"), left);
        Program.ok("qemu-img", "info", "-f", format.qemu, image);
    }

    @ParameterizedTest
    @EnumSource(GrownFormat.class)
    void aCrashAtAnyPoint(GrownFormat format) {
        Seeds.run(2, seed -> crashes(format, seed, true));
    }

    /** The canary: on a disk that does not flush, this test must fail. */
    @Test
    void aDiskThatDoesNotFlushIsFoundOut() {
        assertThatThrownBy(() -> Seeds.run(2, seed -> crashes(GrownFormat.VMDK_SPARSE, seed, false)))
                .isInstanceOf(AssertionError.class);
    }
}
