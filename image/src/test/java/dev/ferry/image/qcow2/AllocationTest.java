package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.LoopBytes;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimLoop;
import java.lang.management.ManagementFactory;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** In the steady state a request to clusters that are allocated allocates no memory of its own. */
class AllocationTest {
    private static final int SIZE = 32 << 20;
    private static final int OPERATIONS = 100_000;

    @Test
    void readsAndWritesOfAllocatedClustersAllocateNothing() throws Exception {
        allocatesNothing(Qcow2Options.DEFAULT);
    }

    @Test
    void readsAndWritesOfAllocatedSubclustersAllocateNothing() throws Exception {
        allocatesNothing(Qcow2Options.DEFAULT.withExtendedL2());
    }

    private static void allocatesNothing(Qcow2Options options) throws Exception {
        SimLoop loop = new SimLoop(1);
        BlockDevice file = CheckedDevice.of(MemoryDisk.growing(64 << 20), "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        Qcow2Creator.create(bytes, SIZE, options);
        BlockDevice disk = new Qcow2Device(
                loop,
                file,
                Qcow2Image.openForWriting(bytes),
                null,
                BufferPool.ofBytes(8 << 20),
                loop,
                Qcow2Settings.DEFAULT);
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
            disk.write(offset, buffer, 0, 8192, 0, AllocationTest::ended);
            disk.read(offset, buffer, 0, 4096, AllocationTest::ended);
        }
    }

    private static void ended(@Nullable BlockError error) {
        if (error != null) {
            throw new AssertionError(error.message());
        }
    }
}
