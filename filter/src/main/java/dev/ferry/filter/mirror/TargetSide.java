package dev.ferry.filter.mirror;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What is in flight on the target, in the order of submission.
 *
 * <p>The requester of a request and the request itself are apart: {@link #abandon} answers every requester at once, while
 * the requests live on until the target ends them, if ever. Each keeps its buffer retained until then, so that the
 * guest's memory, given back in the meantime, is not filled with other bytes under a write that is still going on.
 */
final class TargetSide {
    private final Loop loop;
    private final Consumer<BlockError> failed;
    private BlockDevice device;
    private @Nullable Leg first;
    private @Nullable Leg last;
    private @Nullable Leg free;
    private int inFlight;
    private @Nullable Completion idle;

    /** @param failed told of an error of a request that was not abandoned, before its requester is */
    TargetSide(Loop loop, BlockDevice device, Consumer<BlockError> failed) {
        this.loop = loop;
        this.device = device;
        this.failed = failed;
    }

    BlockDevice device() {
        return device;
    }

    void device(BlockDevice other) {
        device = other;
    }

    /** Requests that the target has not ended yet, abandoned ones too. */
    int inFlight() {
        return inFlight;
    }

    /** When the oldest request that somebody waits for was submitted; {@link Long#MAX_VALUE} if there is none. */
    long oldestNanos() {
        Leg oldest = first;
        return oldest == null ? Long.MAX_VALUE : oldest.startNanos;
    }

    void read(long offset, IoBuffer buffer, int at, int length, Completion ended) {
        device.read(offset, buffer, at, length, leg(buffer, ended));
    }

    void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion ended) {
        device.write(offset, buffer, at, length, flags, leg(buffer, ended));
    }

    void writeZeroes(long offset, long length, int flags, Completion ended) {
        device.writeZeroes(offset, length, flags, leg(null, ended));
    }

    void discard(long offset, long length, int flags, Completion ended) {
        device.discard(offset, length, flags, leg(null, ended));
    }

    void extents(long offset, long length, ExtentSink sink, Completion ended) {
        device.extents(offset, length, sink, leg(null, ended));
    }

    void ownExtents(long offset, long length, ExtentSink sink, Completion ended) {
        device.ownExtents(offset, length, sink, leg(null, ended));
    }

    /** That the store does not do it is no error of the target. */
    void copyFrom(BlockDevice source, long offset, long length, Completion ended) {
        Leg leg = leg(null, ended);
        leg.mayRefuse = true;
        device.copyFrom(source, offset, length, leg);
    }

    void flush(Completion ended) {
        device.flush(leg(null, ended));
    }

    /** Answers everybody who waits for the target. */
    void abandon(BlockError why) {
        for (Leg leg = first; leg != null; leg = first) {
            Completion ended = Objects.requireNonNull(leg.ended);
            leg.ended = null;
            unlink(leg);
            ended.complete(why);
        }
    }

    /** Completes when the target has ended every request that it was ever given. */
    void whenIdle(Completion completion) {
        if (inFlight == 0) {
            completion.complete(null);
            return;
        }
        Completion earlier = idle;
        idle = earlier == null
                ? completion
                : error -> {
                    earlier.complete(error);
                    completion.complete(error);
                };
    }

    private Leg leg(@Nullable IoBuffer buffer, Completion ended) {
        Leg leg = free;
        if (leg == null) {
            leg = new Leg();
        } else {
            free = leg.next;
            leg.next = null;
        }
        if (buffer != null) {
            buffer.retain();
        }
        leg.buffer = buffer;
        leg.ended = ended;
        leg.startNanos = loop.nanoTime();
        Leg before = last;
        leg.previous = before;
        if (before == null) {
            first = leg;
        } else {
            before.next = leg;
        }
        last = leg;
        inFlight++;
        return leg;
    }

    private void unlink(Leg leg) {
        Leg before = leg.previous;
        Leg after = leg.next;
        if (before == null) {
            first = after;
        } else {
            before.next = after;
        }
        if (after == null) {
            last = before;
        } else {
            after.previous = before;
        }
        leg.previous = null;
        leg.next = null;
    }

    /** One request to the target. Linked while somebody waits for it. */
    private final class Leg implements Completion {
        private @Nullable Leg previous;
        private @Nullable Leg next;
        private @Nullable IoBuffer buffer;
        private @Nullable Completion ended;
        private long startNanos;
        private boolean mayRefuse;

        @Override
        public void complete(@Nullable BlockError error) {
            Completion waiting = ended;
            if (waiting != null) {
                unlink(this);
            }
            IoBuffer held = buffer;
            if (held != null) {
                held.release();
            }
            boolean refused = mayRefuse;
            buffer = null;
            ended = null;
            mayRefuse = false;
            next = free;
            free = this;
            inFlight--;
            if (waiting != null) {
                if (error != null && !(refused && error.kind() == ErrorKind.UNSUPPORTED)) {
                    failed.accept(error);
                }
                waiting.complete(error);
            }
            Completion idler = idle;
            if (inFlight == 0 && idler != null) {
                idle = null;
                idler.complete(null);
            }
        }
    }
}
