package dev.ferry.filter;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.RegionHold;
import dev.ferry.filter.mirror.TrackedMirror;
import dev.ferry.filter.mirror.TrailSettings;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimLoop;
import java.lang.management.ManagementFactory;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** In the steady state a request through the filters allocates nothing. */
class AllocationTest {
    private static final int REGION = 64 << 10;
    private static final int OPERATIONS = 100_000;

    @Test
    void aRequestThroughStatsGateAndMirrorAllocatesNothing() {
        runs(false);
    }

    @Test
    void neitherIfTheTargetTrails() {
        runs(true);
    }

    private static void runs(boolean trailing) {
        SimLoop loop = new SimLoop(1);
        long size = 16L * REGION;
        Mirror mirror = new Mirror(
                loop,
                new MemoryDisk(size),
                new MemoryDisk(size),
                new MirrorSettings(REGION, 1_000_000_000L, true),
                why -> {});
        assertAllocatesNothing(loop, mirror, size, trailing);
    }

    @Test
    void aRequestThroughAMirrorThatLeavesItsTargetBehindAllocatesNothing() {
        SimLoop loop = new SimLoop(1);
        long size = 16L * REGION;
        Mirror mirror = new TrackedMirror(
                loop,
                new MemoryDisk(size),
                new MemoryDisk(size),
                new MirrorSettings(REGION, 1_000_000_000L, true),
                why -> {},
                null);
        assertAllocatesNothing(loop, mirror, size, false);
    }

    private static void assertAllocatesNothing(SimLoop loop, Mirror mirror, long size, boolean trailing) {
        for (long region = 0; region < mirror.regions(); region++) {
            mirror.copy(region, new RegionHold() {
                @Override
                protected void held(@Nullable BlockError why) {
                    mirror.end(this, true);
                }
            });
        }
        if (trailing) {
            mirror.trail(TrailSettings.DEFAULT);
        }
        BlockDevice disk = new Stats(loop, new Gate(loop, mirror));
        IoBuffer buffer = IoBuffer.allocate(2 * REGION);
        run(disk, buffer, size);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        run(disk, buffer, size);
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertThat(allocated).as("bytes for %d requests", 2 * OPERATIONS).isLessThan(OPERATIONS / 10);
    }

    private static void run(BlockDevice disk, IoBuffer buffer, long size) {
        for (int i = 0; i < OPERATIONS; i++) {
            long offset = i * 4096L % (size - REGION);
            disk.write(offset, buffer, 0, 4096, 0, AllocationTest::ended);
            disk.read(offset, buffer, 0, 4096, AllocationTest::ended);
        }
    }

    private static void ended(@Nullable BlockError error) {
        if (error != null) {
            throw new AssertionError(error.message());
        }
    }
}
