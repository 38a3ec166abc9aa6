package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.nio.ByteBuffer;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A crash at any point while a delta is written leaves one that opens over its parent: what was flushed is there, of what was
 * written since the new or what there was before, and all else is the parent's. A crash of the process alone loses nothing that
 * was acknowledged.
 */
class DeltaCrashTest {
    private static final int SECTOR = 512;

    /** Of more than one block of a VHD disk. */
    private static final int SIZE = 5 << 20;

    private static final int ROOM = 96 << 20;

    /** In each sector a number of its own; some are zeroes. */
    private static byte[] parentContent(SplittableRandom random) {
        byte[] content = new byte[SIZE];
        ByteBuffer fields = ByteBuffer.wrap(content);
        for (int sector = 0; sector < SIZE / SECTOR; sector++) {
            long value = random.nextInt(5) == 0 ? 0 : -1 - sector;
            for (int i = 0; i < SECTOR / Long.BYTES; i++) {
                fields.putLong(value);
            }
        }
        return content;
    }

    private static byte[] contentOf(DeltaFormat format, MemoryDisk parent, byte[] left, boolean write)
            throws Exception {
        SimLoop loop = new SimLoop(1);
        BlockDevice file = CheckedDevice.of(CrashDisk.restored(left, ROOM), "left");
        OpenFile open = new OpenFile(new LoopBytes(loop, file), file);
        Neighbours neighbours = DeltaFormat.only(loop, parent);
        BlockDevice device = CheckedDevice.of(
                write ? format.open(loop, open, neighbours) : format.reading(loop, open, neighbours), "again");
        for (int at = SECTOR; write && at < SIZE; at += 1 << 20) {
            long from = at;
            IoBuffer same = IoBuffer.allocate(SECTOR);
            assertThat(OnLoop.await(loop, end -> device.read(from, same, 0, SECTOR, end)))
                    .isNull();
            assertThat(OnLoop.await(loop, end -> device.write(from, same, 0, SECTOR, 0, end)))
                    .isNull();
        }
        IoBuffer whole = IoBuffer.allocate(SIZE);
        assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, SIZE, end)))
                .isNull();
        byte[] content = new byte[SIZE];
        whole.copyTo(0, content, 0, SIZE);
        return content;
    }

    private static void crashes(DeltaFormat format, long seed, boolean flushes) throws Exception {
        SimLoop loop = new SimLoop(seed);
        SplittableRandom chance = new SplittableRandom(seed);
        byte[] before = parentContent(chance);
        MemoryDisk parent = format.parent(loop, before);
        MemoryDisk empty = MemoryDisk.growing(ROOM);
        format.create(new LoopBytes(loop, empty), new LoopBytes(loop, parent), "parent", SIZE);
        CrashDisk disk = new CrashDisk(loop, seed, ROOM, flushes);
        disk.fill(empty.bytes(0, (int) empty.lengthBytes()));
        BlockDevice file = CheckedDevice.of(disk, "crashing");
        OpenFile open = new OpenFile(new LoopBytes(loop, file), file);
        BlockDevice device = CheckedDevice.of(format.open(loop, open, DeltaFormat.only(loop, parent)), "disk");
        CrashGuest guest = new CrashGuest(loop, seed, before);
        for (int batch = 0; batch < 8; batch++) {
            guest.batch(device);
            for (int point = 0; point < 3; point++) {
                loop.runFor(chance.nextInt(6000));
                boolean processOnly = chance.nextInt(3) == 0;
                byte[] left = disk.afterCrash(chance, processOnly);
                guest.verify(contentOf(format, parent, left, chance.nextInt(4) == 0), processOnly);
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
            guest.verify(contentOf(format, parent, disk.afterCrash(chance, false), false), false);
            loop.runFor(chance.nextInt(2000));
        }
        guest.verify(contentOf(format, parent, disk.afterCrash(chance, true), false), true);
    }

    @ParameterizedTest
    @EnumSource(DeltaFormat.class)
    void aCrashAtAnyPoint(DeltaFormat format) {
        Seeds.run(2, seed -> crashes(format, seed, true));
    }

    /** The canary: on a disk that does not flush, this test must fail. */
    @ParameterizedTest
    @EnumSource(DeltaFormat.class)
    void aDiskThatDoesNotFlushIsFoundOut(DeltaFormat format) {
        assertThatThrownBy(() -> Seeds.run(4, seed -> crashes(format, seed, false)))
                .isInstanceOf(AssertionError.class);
    }
}
