package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.LoopBytes;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** A disk of 16 TiB, written here and there: its tables take no more memory than they may, and nothing is lost. */
class LargeDiskTest {
    private static final long SIZE = 16L << 40;
    private static final long MAP_BYTES = 1 << 20;
    private static final int WRITES = 600;

    @Test
    void theTablesOfALargeDiskStayWithinTheirBound() {
        bounded(Qcow2Options.DEFAULT);
    }

    @Test
    void theTablesOfALargeDiskWithSubclustersStayWithinTheirBound() {
        bounded(Qcow2Options.DEFAULT.withExtendedL2());
    }

    private static void bounded(Qcow2Options options) {
        Seeds.run(seed -> {
            SimLoop loop = new SimLoop(1);
            MemoryDisk memory = MemoryDisk.growing(512 << 20);
            BlockDevice file = CheckedDevice.of(memory, "file");
            LoopBytes bytes = new LoopBytes(loop, file);
            Qcow2Creator.create(bytes, SIZE, options);
            Qcow2Device device = new Qcow2Device(
                    loop,
                    file,
                    Qcow2Image.openForWriting(bytes),
                    null,
                    BufferPool.ofBytes(8 << 20),
                    loop,
                    new Qcow2Settings(MAP_BYTES, false, 1));
            BlockDevice disk = CheckedDevice.of(device, "disk");
            long[] offsets = new SplittableRandom(seed)
                    .longs(WRITES, 0, SIZE / 4096)
                    .distinct()
                    .map(block -> block * 4096)
                    .toArray();
            IoBuffer buffer = IoBuffer.allocate(4096);
            for (long offset : offsets) {
                buffer.segment().set(ValueLayout.JAVA_LONG, 0, offset);
                assertThat(OnLoop.await(loop, end -> disk.write(offset, buffer, 0, 4096, 0, end)))
                        .isNull();
                assertThat(device.mapBytes()).isLessThanOrEqualTo(MAP_BYTES);
            }
            for (long offset : offsets) {
                assertThat(OnLoop.await(loop, end -> disk.read(offset, buffer, 0, 4096, end)))
                        .isNull();
                assertThat(buffer.segment().get(ValueLayout.JAVA_LONG, 0)).isEqualTo(offset);
                assertThat(device.mapBytes()).isLessThanOrEqualTo(MAP_BYTES);
            }
            assertThat(OnLoop.await(loop, disk::close)).isNull();
            BlockDevice again = CheckedDevice.of(memory, "again");
            assertThat(Qcow2Checker.check(new LoopBytes(loop, again), Qcow2Checker.Repair.NONE)
                            .findings())
                    .isEmpty();
        });
    }
}
