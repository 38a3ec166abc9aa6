package dev.ferry.bench;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * A guest on a disk's own loop: random writes of 4 KiB, each of them measured. There is no wire between it and the disk, so
 * that what a layer costs is not hidden by what the wire costs. Thread: the loop's, but for the constructor.
 */
final class LoopLoad {
    private static final int BLOCK_BYTES = 4096;

    private final Loop loop;
    private final BlockDevice disk;
    private final long blocks;
    private final long periodNanos;
    private final SplittableRandom random;
    private final List<Slot> slots = new ArrayList<>();
    private long[] nanos = new long[1 << 16];
    private int count;
    private long begunNanos;
    private boolean stopped;
    private int running;
    private @Nullable Completion ended;

    /**
     * @param depth writes in flight
     * @param perSecond writes in a second, all together; 0: as fast as they go
     */
    LoopLoad(Loop loop, BlockDevice disk, long sizeBytes, int depth, int perSecond, long seed) {
        this.loop = loop;
        this.disk = disk;
        this.blocks = sizeBytes / BLOCK_BYTES;
        this.periodNanos = perSecond == 0 ? 0 : depth * 1_000_000_000L / perSecond;
        this.random = new SplittableRandom(seed);
        for (int i = 0; i < depth; i++) {
            slots.add(new Slot());
        }
    }

    /** What was felt in a span of time. */
    record Felt(double perSecond, double medianMillis, double p99Millis, double longestMillis) {}

    void start() {
        begunNanos = loop.nanoTime();
        for (int i = 0; i < slots.size(); i++) {
            Slot slot = slots.get(i);
            running++;
            slot.dueNanos = begunNanos + periodNanos * i / slots.size();
            loop.schedule(slot.dueNanos - begunNanos, slot::write);
        }
    }

    /** Forgets what was felt so far: what follows is what counts. */
    void mark() {
        count = 0;
        begunNanos = loop.nanoTime();
    }

    /** What was felt since {@link #mark}. */
    Felt felt() {
        double seconds = (loop.nanoTime() - begunNanos) / 1e9;
        long[] sorted = Arrays.copyOf(nanos, count);
        Arrays.sort(sorted);
        return count == 0
                ? new Felt(0, Double.NaN, Double.NaN, Double.NaN)
                : new Felt(
                        count / seconds,
                        sorted[count / 2] / 1e6,
                        sorted[(int) (count * 0.99)] / 1e6,
                        sorted[count - 1] / 1e6);
    }

    void stop(Completion whenEnded) {
        stopped = true;
        ended = whenEnded;
    }

    private void note(long took) {
        if (count == nanos.length) {
            nanos = Arrays.copyOf(nanos, 2 * count);
        }
        nanos[count++] = took;
    }

    private final class Slot implements Completion {
        private final IoBuffer buffer = IoBuffer.allocate(BLOCK_BYTES);
        private final Runnable again = this::write;
        private long startNanos;
        private long dueNanos;

        Slot() {
            buffer.segment().fill((byte) 0x5A);
        }

        void write() {
            if (stopped) {
                running--;
                Completion waiting = ended;
                if (running == 0 && waiting != null) {
                    waiting.complete(null);
                }
                return;
            }
            startNanos = loop.nanoTime();
            disk.write(random.nextLong(blocks) * BLOCK_BYTES, buffer, 0, BLOCK_BYTES, 0, this);
        }

        @Override
        public void complete(@Nullable BlockError error) {
            if (error != null) {
                throw new IllegalStateException(error.message());
            }
            long now = loop.nanoTime();
            note(now - startNanos);
            // One that is late is made up for, as long as it takes: the pace is kept if it can be kept.
            dueNanos += periodNanos;
            if (dueNanos > now) {
                loop.schedule(dueNanos - now, again);
            } else {
                loop.execute(again);
            }
        }
    }
}
