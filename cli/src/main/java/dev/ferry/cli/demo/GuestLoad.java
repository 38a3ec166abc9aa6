package dev.ferry.cli.demo;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.stack.OnLoop;
import java.util.ArrayDeque;
import java.util.BitSet;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/**
 * A guest at work: 4 KiB reads and writes at random places, some in flight at once, at a steady pace; whatever it reads it
 * compares with what it knows. Two requests of it never overlap, so that what a read has to give is certain.
 *
 * <p>Lives on the loop of its disk; the public methods are called from elsewhere and wait.
 */
final class GuestLoad {
    private static final long TICK_NANOS = TimeUnit.MILLISECONDS.toNanos(1);
    private static final long HIGHEST_NANOS = TimeUnit.MINUTES.toNanos(5);
    /** After a stall the guest catches up on this much of what it missed, and no more. */
    private static final double BACKLOG_SECONDS = 0.05;

    private final Loop loop;
    private final BlockDevice disk;
    private final GuestModel model;
    private final int iops;
    private final SplittableRandom random;
    private final BitSet inUse = new BitSet();
    private final ArrayDeque<Lane> idle = new ArrayDeque<>();
    private final CompletableFuture<Boolean> stopped = new CompletableFuture<>();
    private final int depth;

    private boolean running;
    private boolean stopping;
    private double allowance;
    private long lastNanos;
    private long sinceNanos;
    private long operations;
    private long reads;
    private long wrongReads;
    private @Nullable BlockError failure;
    private Histogram latencies = new Histogram(1, HIGHEST_NANOS, 3);

    /**
     * What the guest felt in a stretch of time.
     *
     * @param iops requests that ended, per second
     * @param p99Micros 99 of 100 requests took no longer
     * @param longestMillis the longest that any took
     */
    record Interval(double iops, double p99Micros, double longestMillis) {}

    GuestLoad(Loop loop, BlockDevice disk, GuestModel model, int iops, int depth, long seed) {
        this.loop = loop;
        this.disk = disk;
        this.model = model;
        this.iops = iops;
        this.depth = depth;
        this.random = new SplittableRandom(seed);
    }

    void start() throws BlockException {
        OnLoop.run(loop, () -> {
            for (int i = 0; i < depth; i++) {
                idle.add(new Lane());
            }
            running = true;
            lastNanos = loop.nanoTime();
            sinceNanos = lastNanos;
            tick();
        });
    }

    /** What was felt since the last call; begins anew. */
    Interval interval() throws BlockException {
        return OnLoop.get(loop, () -> {
            long now = loop.nanoTime();
            double seconds = (now - sinceNanos) / (double) TimeUnit.SECONDS.toNanos(1);
            Interval felt = new Interval(
                    operations / Math.max(seconds, 1e-9),
                    latencies.getValueAtPercentile(99) / 1e3,
                    Math.max(latencies.getMaxValue(), oldestNanos(now)) / 1e6);
            sinceNanos = now;
            operations = 0;
            latencies = new Histogram(1, HIGHEST_NANOS, 3);
            return felt;
        });
    }

    /** How long the request has taken so far that has taken longest; a stall need not be over to be felt. */
    private long oldestNanos(long now) {
        long oldest = 0;
        for (Lane lane : lanes) {
            if (lane.busy) {
                oldest = Math.max(oldest, now - lane.startedNanos);
            }
        }
        return oldest;
    }

    /** Stops, and waits for what is in flight. */
    void stop() throws BlockException {
        OnLoop.run(loop, () -> {
            stopping = true;
            end();
        });
        OnLoop.join(stopped);
    }

    /** Reads that gave something else than what was written. */
    long wrongReads() throws BlockException {
        return OnLoop.get(loop, () -> wrongReads);
    }

    long reads() throws BlockException {
        return OnLoop.get(loop, () -> reads);
    }

    /** Why a request failed; a guest would have seen this. */
    @Nullable
    BlockError failure() throws BlockException {
        return OnLoop.get(loop, () -> new Failure(failure)).error();
    }

    private record Failure(@Nullable BlockError error) {}

    private final ArrayDeque<Lane> lanes = new ArrayDeque<>();

    private void tick() {
        if (!running) {
            return;
        }
        long now = loop.nanoTime();
        double earned = iops * ((now - lastNanos) / (double) TimeUnit.SECONDS.toNanos(1));
        allowance = Math.min(allowance + earned, Math.max(iops * BACKLOG_SECONDS, 1));
        lastNanos = now;
        while (running && allowance >= 1 && !idle.isEmpty()) {
            allowance--;
            idle.removeFirst().begin();
        }
        var _ = loop.schedule(TICK_NANOS, this::tick);
    }

    private void end() {
        if (stopping && idle.size() == depth) {
            running = false;
            stopped.complete(true);
        }
    }

    private int freeBlock() {
        while (true) {
            int block = random.nextInt(model.blocks());
            if (!inUse.get(block)) {
                inUse.set(block);
                return block;
            }
        }
    }

    /** One of the requests that may be in flight. */
    private final class Lane {
        private final IoBuffer buffer = IoBuffer.allocate(GuestModel.BLOCK_BYTES);
        private final Completion completion = this::ended;
        private boolean busy;
        private boolean writing;
        private int block;
        private long startedNanos;

        Lane() {
            lanes.add(this);
        }

        void begin() {
            if (stopping || failure != null) {
                idle.add(this);
                running = failure == null && !stopping;
                end();
                return;
            }
            block = freeBlock();
            writing = random.nextBoolean();
            busy = true;
            startedNanos = loop.nanoTime();
            long offset = (long) block * GuestModel.BLOCK_BYTES;
            if (writing) {
                model.fillNext(buffer, 0, block);
                disk.write(offset, buffer, 0, GuestModel.BLOCK_BYTES, 0, completion);
            } else {
                disk.read(offset, buffer, 0, GuestModel.BLOCK_BYTES, completion);
            }
        }

        private void ended(@Nullable BlockError error) {
            busy = false;
            latencies.recordValue(Math.clamp(loop.nanoTime() - startedNanos, 1, HIGHEST_NANOS));
            operations++;
            if (error != null) {
                failure = error;
            } else if (writing) {
                model.written(block);
            } else {
                reads++;
                wrongReads += model.holds(buffer, 0, block) ? 0 : 1;
            }
            inUse.clear(block);
            idle.add(this);
            end();
        }
    }
}
