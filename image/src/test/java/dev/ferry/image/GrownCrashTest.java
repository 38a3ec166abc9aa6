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
import java.nio.file.Files;
import java.nio.file.Path;
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

    @TempDir
    Path directory;

    private static byte[] made(GrownFormat format) throws Exception {
        SimLoop loop = new SimLoop(1);
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        format.create(new LoopBytes(loop, disk), SIZE);
        return disk.bytes(0, (int) disk.lengthBytes());
    }

    /** The disk in a file that a crash left, read, and written to once more. */
    private static byte[] contentOf(GrownFormat format, byte[] left, boolean write) throws Exception {
        SimLoop loop = new SimLoop(1);
        BlockDevice file = CheckedDevice.of(CrashDisk.restored(left, ROOM), "left");
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
        CrashGuest guest = new CrashGuest(loop, seed, new byte[SIZE]);
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
