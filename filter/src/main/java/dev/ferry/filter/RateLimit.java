package dev.ferry.filter;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Lets so many bytes pass in a second, read and written together.
 *
 * <p>Each request that moves bytes takes a turn as long as its bytes take at the rate. It may begin when the turns of those
 * before it are over, and not later: a request as large as a second's bytes is not cut, the next one waits for it. Who has
 * been idle may use what he did not take of the last {@link #SAVED_NANOS}. Requests begin in the order in which they came;
 * zeroes and discards move nothing, and wait only for those before them. Flushes and questions wait for nobody.
 *
 * <p>What waits is bounded by what clients have in flight. The rate is changed while it runs. Thread: the loop's; in the
 * steady state a request allocates nothing.
 */
public final class RateLimit extends FilterDevice {
    /** What an idle time is worth at most. */
    public static final long SAVED_NANOS = 100_000_000;

    private static final long SECOND_NANOS = 1_000_000_000;

    private final Loop loop;
    private final Loop.Alarm turn;
    private long bytesPerSecond;

    /** When the turns that have been taken are over. */
    private long busyUntilNanos;

    private @Nullable Held first;
    private @Nullable Held last;
    private @Nullable Held free;
    private boolean dispatching;
    private boolean turnSet;

    public RateLimit(Loop loop, BlockDevice next) {
        super(next);
        this.loop = loop;
        this.turn = loop.alarm(this::dispatch);
        this.busyUntilNanos = loop.nanoTime();
    }

    /** Lets so much pass from now on, in bytes; 0: everything. */
    public void rate(long newBytesPerSecond) {
        Invariant.that(newBytesPerSecond >= 0, "a rate below zero");
        bytesPerSecond = newBytesPerSecond;
        busyUntilNanos = Math.min(busyUntilNanos, loop.nanoTime());
        dispatch();
    }

    // ---- turns

    /** True if a request may begin now; it then has its turn. */
    private boolean begins(long bytes) {
        if (bytesPerSecond == 0 || bytes == 0) {
            return true;
        }
        long now = loop.nanoTime();
        if (busyUntilNanos > now) {
            return false;
        }
        // At most 2^25 bytes at once, so that this stays below 2^55.
        busyUntilNanos = Math.max(busyUntilNanos, now - SAVED_NANOS) + bytes * SECOND_NANOS / bytesPerSecond;
        return true;
    }

    private boolean passes(long bytes) {
        return first == null && begins(bytes);
    }

    /** Lets those go on whose turn it is. A loop, whatever ends inline. */
    private void dispatch() {
        turn.cancel();
        turnSet = false;
        if (dispatching) {
            return;
        }
        dispatching = true;
        Held one = first;
        while (one != null && begins(one.kind == Held.READ || one.kind == Held.WRITE ? one.length : 0)) {
            first = one.following;
            if (first == null) {
                last = null;
            }
            one.submit();
            one = first;
        }
        dispatching = false;
        awaitTurn();
    }

    private void hold(
            int kind, long offset, @Nullable IoBuffer buffer, int at, long length, int flags, Completion completion) {
        Held held = free;
        if (held == null) {
            held = new Held();
        } else {
            free = held.following;
            held.following = null;
        }
        held.kind = kind;
        held.offset = offset;
        held.buffer = buffer;
        held.at = at;
        held.length = length;
        held.flags = flags;
        held.completion = completion;
        if (last == null) {
            first = held;
        } else {
            last.following = held;
        }
        last = held;
        if (!dispatching) {
            awaitTurn();
        }
    }

    /** Has the first of those that wait go on when its turn comes. */
    private void awaitTurn() {
        if (first != null && !turnSet) {
            turnSet = true;
            turn.set(Math.max(1, busyUntilNanos - loop.nanoTime()));
        }
    }

    /** A request that waits. Used again. */
    private final class Held {
        private static final int READ = 0;
        private static final int WRITE = 1;
        private static final int ZERO = 2;
        private static final int DISCARD = 3;

        private @Nullable Held following;
        private @Nullable IoBuffer buffer;
        private @Nullable Completion completion;
        private int kind;
        private long offset;
        private int at;
        private long length;
        private int flags;

        void submit() {
            IoBuffer bytes = buffer;
            Completion ended = Objects.requireNonNull(completion);
            buffer = null;
            completion = null;
            following = free;
            free = this;
            switch (kind) {
                case READ -> next.read(offset, Objects.requireNonNull(bytes), at, (int) length, ended);
                case WRITE -> next.write(offset, Objects.requireNonNull(bytes), at, (int) length, flags, ended);
                case ZERO -> next.writeZeroes(offset, length, flags, ended);
                default -> next.discard(offset, length, flags, ended);
            }
        }
    }

    // ---- the device

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (passes(length)) {
            next.read(offset, buffer, at, length, completion);
        } else {
            hold(Held.READ, offset, buffer, at, length, 0, completion);
        }
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        if (passes(length)) {
            next.write(offset, buffer, at, length, flags, completion);
        } else {
            hold(Held.WRITE, offset, buffer, at, length, flags, completion);
        }
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        if (passes(0)) {
            next.writeZeroes(offset, length, flags, completion);
        } else {
            hold(Held.ZERO, offset, null, 0, length, flags, completion);
        }
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        if (passes(0)) {
            next.discard(offset, length, flags, completion);
        } else {
            hold(Held.DISCARD, offset, null, 0, length, flags, completion);
        }
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    /** Nothing is located while there is a rate: bytes would go past it. */
    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return bytesPerSecond == 0 && next.locate(offset, length, range);
    }
}
