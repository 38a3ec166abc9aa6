package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One change in flight, or the part of one that lies in regions of one state: a leg on the source, and perhaps one on the
 * target. It ends when both have. As a completion it is the end of the source's leg. Pooled by its mirror.
 */
final class Change implements Completion {
    static final int WRITE = 0;
    static final int ZERO = 1;
    static final int DISCARD = 2;

    private final Mirror mirror;
    /** The end of the target's leg. What went wrong there is the mirror's affair and not the guest's. */
    final Completion targetEnd = error -> targetEnded();

    int kind;
    long offset;
    long length;

    @Nullable
    IoBuffer buffer;

    int at;
    int flags;

    @Nullable
    Completion completion;

    /** In the order of arrival among all changes and holds. */
    long sequence;

    @Nullable
    Change previous;

    @Nullable
    Change next;

    @Nullable
    Change nextWaiting;

    @Nullable
    BlockError error;

    private boolean sourcePending;
    boolean targetPending;

    /** What a trail notes of a change that is in it. */
    final TrailPlace place = new TrailPlace(this);

    Change(Mirror mirror) {
        this.mirror = mirror;
    }

    long end() {
        return offset + length;
    }

    boolean overlaps(long from, long to) {
        return offset < to && from < end();
    }

    /** Submits the source's leg; if the target is to have none, this may have ended when the call returns. */
    void begin(boolean withTarget) {
        error = null;
        sourcePending = true;
        targetPending = withTarget;
        mirror.submitToSource(this);
    }

    /** Submits the target's leg, unless there is no use in it any more. */
    void beginTarget() {
        Invariant.that(targetPending, "target's leg begun twice");
        if (place.waitsForEarlier()) {
            return;
        }
        if (error != null || !mirror.attached()) {
            targetEnded();
        } else {
            mirror.submitToTarget(this);
        }
    }

    @Override
    public void complete(@Nullable BlockError sourceError) {
        Invariant.that(sourcePending, "source's leg ended twice");
        if (sourceError != null) {
            error = sourceError;
            mirror.sourceFailed(this, sourceError);
        }
        sourcePending = false;
        if (place.early && targetPending) {
            // What goes on inside this call may end the target's leg, and this change with it.
            mirror.acknowledge(this);
        } else {
            endIfDone();
        }
    }

    void targetEnded() {
        Invariant.that(targetPending, "target's leg ended twice");
        targetPending = false;
        endIfDone();
    }

    private void endIfDone() {
        if (!sourcePending && !targetPending) {
            mirror.ended(this);
        }
    }

    IoBuffer bytes() {
        return Objects.requireNonNull(buffer);
    }
}
