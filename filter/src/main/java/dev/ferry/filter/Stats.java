package dev.ferry.filter;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Counts what passes and how long it takes. Thread: the loop's. A request costs two looks at the clock and a count in a
 * histogram, and allocates nothing.
 */
public final class Stats extends FilterDevice {
    private static final long WINDOW_NANOS = 1_000_000_000L;

    private final Loop loop;
    private final LatencyRecord reads = new LatencyRecord();
    private final LatencyRecord writes = new LatencyRecord();
    private final LatencyRecord zeroes = new LatencyRecord();
    private final LatencyRecord discards = new LatencyRecord();
    private final LatencyRecord flushes = new LatencyRecord();
    private final long openedNanos;
    private long previousNanos;
    private long windowNanos;
    private @Nullable LatencyWatch watch;
    private @Nullable Timed free;

    public Stats(Loop loop, BlockDevice next) {
        super(next);
        this.loop = loop;
        this.openedNanos = loop.nanoTime();
        this.previousNanos = openedNanos;
        this.windowNanos = openedNanos;
    }

    /** What has been counted. Called on the loop; any number of readers get the same recent past. */
    public StatsSnapshot snapshot() {
        long now = loop.nanoTime();
        rotateIfDue(now);
        return new StatsSnapshot(
                reads.snapshot(),
                writes.snapshot(),
                zeroes.snapshot(),
                discards.snapshot(),
                flushes.snapshot(),
                now - openedNanos,
                now - previousNanos);
    }

    /** Tells one more listener of every latency, until null is given. On the loop. */
    public void watch(@Nullable LatencyWatch listener) {
        watch = listener;
    }

    private void rotateIfDue(long now) {
        long passed = now - windowNanos;
        if (passed < WINDOW_NANOS) {
            return;
        }
        rotate();
        previousNanos = windowNanos;
        if (passed >= 2 * WINDOW_NANOS) {
            // Nothing has ended for long: what was current is not recent either.
            rotate();
            previousNanos = now - WINDOW_NANOS;
        }
        windowNanos = now;
    }

    private void rotate() {
        reads.rotate();
        writes.rotate();
        zeroes.rotate();
        discards.rotate();
        flushes.rotate();
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        next.read(offset, buffer, at, length, timed(reads, length, completion));
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        next.write(offset, buffer, at, length, flags, timed(writes, length, completion));
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        next.writeZeroes(offset, length, flags, timed(zeroes, length, completion));
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        next.discard(offset, length, flags, timed(discards, length, completion));
    }

    @Override
    public void flush(Completion completion) {
        next.flush(timed(flushes, 0, completion));
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return next.locate(offset, length, range);
    }

    /** A read that the front-end served from where {@link #locate} said. */
    @Override
    public void located(long offset, int length, long nanos) {
        rotateIfDue(loop.nanoTime());
        reads.record(nanos, length, false);
        watched(reads, nanos);
        next.located(offset, length, nanos);
    }

    private void watched(LatencyRecord kind, long nanos) {
        LatencyWatch listener = watch;
        if (listener != null && kind != flushes) {
            listener.record(nanos);
        }
    }

    private Timed timed(LatencyRecord record, long length, Completion completion) {
        Timed timed = free;
        if (timed == null) {
            timed = new Timed();
        } else {
            free = timed.nextFree;
            timed.nextFree = null;
        }
        timed.record = record;
        timed.length = length;
        timed.completion = completion;
        timed.startNanos = loop.nanoTime();
        return timed;
    }

    /** One request. Used again. */
    private final class Timed implements Completion {
        private @Nullable Timed nextFree;
        private @Nullable LatencyRecord record;
        private @Nullable Completion completion;
        private long length;
        private long startNanos;

        @Override
        public void complete(@Nullable BlockError error) {
            long now = loop.nanoTime();
            rotateIfDue(now);
            LatencyRecord kind = Objects.requireNonNull(record);
            kind.record(now - startNanos, length, error != null);
            watched(kind, now - startNanos);
            Completion ended = Objects.requireNonNull(completion);
            record = null;
            completion = null;
            nextFree = free;
            free = this;
            ended.complete(error);
        }
    }
}
