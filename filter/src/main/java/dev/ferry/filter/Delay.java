package dev.ferry.filter;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import java.util.random.RandomGenerator;

/**
 * Makes requests take longer, for drills and tests: each is held for a fixed time and a random one before it goes below.
 * Switched while it runs by {@link #delay}; at 0 everything passes. Thread: the loop's.
 */
public final class Delay extends FilterDevice {
    private final Loop loop;
    private final RandomGenerator random;
    private long fixedNanos;
    private long jitterNanos;

    /** @param random gives the jitter */
    public Delay(Loop loop, BlockDevice next, RandomGenerator random) {
        super(next);
        this.loop = loop;
        this.random = random;
    }

    /**
     * Holds requests from now on.
     *
     * @param fixed nanoseconds for each
     * @param jitter up to so many nanoseconds more
     */
    public void delay(long fixed, long jitter) {
        Invariant.that(fixed >= 0 && jitter >= 0, "delay below zero");
        fixedNanos = fixed;
        jitterNanos = jitter;
    }

    private boolean passes() {
        return fixedNanos == 0 && jitterNanos == 0;
    }

    private void later(Runnable request) {
        loop.schedule(fixedNanos + (jitterNanos == 0 ? 0 : random.nextLong(jitterNanos)), request);
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (passes()) {
            next.read(offset, buffer, at, length, completion);
        } else {
            later(() -> next.read(offset, buffer, at, length, completion));
        }
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        if (passes()) {
            next.write(offset, buffer, at, length, flags, completion);
        } else {
            later(() -> next.write(offset, buffer, at, length, flags, completion));
        }
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        if (passes()) {
            next.writeZeroes(offset, length, flags, completion);
        } else {
            later(() -> next.writeZeroes(offset, length, flags, completion));
        }
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        if (passes()) {
            next.discard(offset, length, flags, completion);
        } else {
            later(() -> next.discard(offset, length, flags, completion));
        }
    }

    @Override
    public void flush(Completion completion) {
        if (passes()) {
            next.flush(completion);
        } else {
            later(() -> next.flush(completion));
        }
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        if (passes()) {
            next.extents(offset, length, sink, completion);
        } else {
            later(() -> next.extents(offset, length, sink, completion));
        }
    }

    /** Nothing is located while requests are held: a read that goes past this filter could not be. */
    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return passes() && next.locate(offset, length, range);
    }
}
