package dev.ferry.filter;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.IoBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/**
 * Makes requests fail or stall, for drills and tests. Switched while it runs by {@link #rule}; without a rule everything
 * passes. A request that fails never reaches the device. One that stalls waits for {@link #release}, or for ever, and
 * then goes on as if nothing had been. Thread: the loop's.
 */
public final class Fault extends FilterDevice {
    private final String name;
    private final RandomGenerator random;
    private final List<Runnable> stalled = new ArrayList<>();
    private @Nullable FaultRule rule;
    private long hits;

    /**
     * @param name of the device, as errors give it
     * @param random decides which requests are hit
     */
    public Fault(BlockDevice next, String name, RandomGenerator random) {
        super(next);
        this.name = name;
        this.random = random;
    }

    /** From now on requests are treated by this rule; null: they pass. What has stalled stays so. */
    public void rule(@Nullable FaultRule newRule) {
        rule = newRule;
    }

    /** Lets go on what has stalled. */
    public void release() {
        List<Runnable> released = List.copyOf(stalled);
        stalled.clear();
        released.forEach(Runnable::run);
    }

    /** Requests that stand still. */
    public int stalled() {
        return stalled.size();
    }

    /** Requests that failed or stalled so far. */
    public long hits() {
        return hits;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        unlessHit(
                FaultRule.READ,
                "read",
                offset,
                length,
                completion,
                () -> next.read(offset, buffer, at, length, completion));
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        unlessHit(
                FaultRule.WRITE,
                "write",
                offset,
                length,
                completion,
                () -> next.write(offset, buffer, at, length, flags, completion));
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        unlessHit(
                FaultRule.ZERO,
                "zero",
                offset,
                length,
                completion,
                () -> next.writeZeroes(offset, length, flags, completion));
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        unlessHit(
                FaultRule.DISCARD,
                "discard",
                offset,
                length,
                completion,
                () -> next.discard(offset, length, flags, completion));
    }

    @Override
    public void flush(Completion completion) {
        unlessHit(FaultRule.FLUSH, "flush", -1, -1, completion, () -> next.flush(completion));
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        unlessHit(
                FaultRule.EXTENTS,
                "extents",
                offset,
                length,
                completion,
                () -> next.extents(offset, length, sink, completion));
    }

    /** Nothing is located while a rule is on: a read that goes past this filter could not be hit. */
    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return rule == null && next.locate(offset, length, range);
    }

    private void unlessHit(
            int operation, String word, long offset, long length, Completion completion, Runnable request) {
        if (!hit(operation, word, offset, length, completion, request)) {
            request.run();
        }
    }

    private boolean hit(int operation, String word, long offset, long length, Completion completion, Runnable goOn) {
        FaultRule active = rule;
        if (active == null || !active.covers(operation, offset, length)) {
            return false;
        }
        if (random.nextInt(FaultRule.MILLION) >= active.perMillion()) {
            return false;
        }
        hits++;
        ErrorKind kind = active.kind();
        if (kind == null) {
            stalled.add(goOn);
        } else {
            completion.complete(BlockError.of(kind, name, word, offset, length, "fault injected on purpose"));
        }
        return true;
    }
}
