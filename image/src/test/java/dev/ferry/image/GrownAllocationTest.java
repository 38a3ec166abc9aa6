package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimLoop;
import java.lang.management.ManagementFactory;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** In the steady state a request to grains that are there, and whose table was the last in use, allocates no memory. */
class GrownAllocationTest {
    private static final int SIZE = 32 << 20;
    private static final int OPERATIONS = 100_000;

    @ParameterizedTest
    @EnumSource(
            value = GrownFormat.class,
            names = {"VMDK_SPARSE", "VHD_DYNAMIC", "VHDX_DYNAMIC"})
    void readsAndWritesOfGrainsThatAreThereAllocateNothing(GrownFormat format) throws Exception {
        SimLoop loop = new SimLoop(1);
        BlockDevice file = CheckedDevice.of(MemoryDisk.growing(128 << 20), "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        format.create(bytes, SIZE);
        BlockDevice disk = format.open(loop, new OpenFile(bytes, file));
        IoBuffer buffer = IoBuffer.allocate(SIZE);
        assertThat(OnLoop.await(loop, end -> disk.write(0, buffer, 0, SIZE, 0, end)))
                .isNull();
        long[] offsets = new SplittableRandom(1)
                .longs(OPERATIONS, 0, (SIZE - 8192) / 512)
                .map(sector -> sector * 512)
                .toArray();
        run(disk, buffer, offsets);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        run(disk, buffer, offsets);
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertThat(allocated).as("bytes for %d requests", 2 * OPERATIONS).isLessThan(OPERATIONS / 10);
    }

    private static void run(BlockDevice disk, IoBuffer buffer, long[] offsets) {
        for (long offset : offsets) {
            disk.write(offset, buffer, 0, 8192, 0, GrownAllocationTest::ended);
            disk.read(offset, buffer, 0, 4096, GrownAllocationTest::ended);
        }
    }

    private static void ended(@Nullable BlockError error) {
        if (error != null) {
            throw new AssertionError(error.message());
        }
    }
}
