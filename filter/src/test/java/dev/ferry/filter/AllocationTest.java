package dev.ferry.filter;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.RegionHold;
import dev.ferry.filter.mirror.TrackedMirror;
import dev.ferry.filter.mirror.TrailSettings;
import dev.ferry.filter.snapshot.CopyOnWrite;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimLoop;
import java.lang.management.ManagementFactory;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** In the steady state a request through the filters allocates nothing. */
class AllocationTest {
    private static final int REGION = 64 << 10;
    private static final int OPERATIONS = 100_000;
    private static final long SIZE_BYTES = 1 << 20;
    private static final long SECOND_NANOS = 1_000_000_000L;

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

    /** Three of four wait for their turn, and the loop's time passes in between. */
    @Test
    void aRequestThatWaitsForTheRateAllocatesNothing() {
        SimLoop loop = new SimLoop(1);
        RateLimit limit = new RateLimit(loop, new MemoryDisk(SIZE_BYTES));
        limit.rate(4096L * 1000);
        int[] ended = {0};
        Completion count = error -> ended[0] += error == null ? 1 : 0;
        IoBuffer buffer = IoBuffer.allocate(4096);
        Runnable requests = () -> {
            for (int i = 0; i < OPERATIONS; i += 4) {
                for (int k = 0; k < 2; k++) {
                    limit.write(4096L * k, buffer, 0, 4096, 0, count);
                    limit.read(4096L * k, buffer, 0, 4096, count);
                }
                loop.runFor(4 * SECOND_NANOS / 1000);
            }
        };
        requests.run();
        assertThat(allocatedBytes(requests)).as("bytes").isLessThan(OPERATIONS / 10);
        assertThat(ended[0]).isEqualTo(2 * OPERATIONS);
        long shortest = (2L * OPERATIONS - 1) * SECOND_NANOS / 1000;
        assertThat(loop.nanoTime()).as("all of them at the rate").isGreaterThanOrEqualTo(shortest);
    }

    /** Reads of the base, of the overlay, and of both; writes to blocks that were changed already. */
    @Test
    void aRequestToACopyOnWriteAllocatesNothing() {
        CopyOnWrite copy = new CopyOnWrite(new MemoryDisk(SIZE_BYTES), new MemoryDisk(SIZE_BYTES));
        IoBuffer buffer = IoBuffer.allocate(64 << 10);
        Runnable requests = () -> {
            for (int i = 0; i < OPERATIONS; i++) {
                long block = i % 32 * 8192L;
                copy.write(block, buffer, 0, 4096, 0, AllocationTest::ended);
                copy.read(block, buffer, 0, 4096, AllocationTest::ended);
                copy.read(block + 4096, buffer, 0, 4096, AllocationTest::ended);
                copy.read(block, buffer, 0, 64 << 10, AllocationTest::ended);
            }
        };
        requests.run();
        assertThat(allocatedBytes(requests)).as("bytes").isLessThan(OPERATIONS / 10);
        assertThat(copy.changedBytes()).isEqualTo(32 * 4096);
    }

    private static long allocatedBytes(Runnable requests) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        requests.run();
        return threads.getCurrentThreadAllocatedBytes() - before;
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
        long allocated = allocatedBytes(() -> run(disk, buffer, size));
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
