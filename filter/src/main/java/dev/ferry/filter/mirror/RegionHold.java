package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;
import org.jspecify.annotations.Nullable;

/**
 * One region in the hands of a copier or a verifier. Whoever wants regions extends this, keeps one for each region that
 * it works on at a time, and uses it again. Belongs to the mirror's loop.
 *
 * <p>From {@link Mirror#copy} or {@link Mirror#lock} on the region is held. {@link #held} says that changes which were
 * in flight before have ended, and the work may begin. The hold ends with {@link Mirror#end}, always, and only when
 * its owner has no request in flight any more. Until then it may <em>break</em>: the mirror let go of the target, the
 * source failed a change in this region, or a guest waited for too long. A broken hold holds nobody up; what was done
 * under it is worth nothing, and the region is as if it had not been begun.
 */
public abstract class RegionHold {
    long region = -1;
    long sequence;
    int changesBefore;
    boolean locks;
    boolean announced;

    /** The source was changed under the copy and the target was not: the region is pending after it, as before. */
    boolean overtaken;

    @Nullable
    BlockError broken;
    /** Changes that wait for this hold to end, oldest first. */
    @Nullable
    Change firstWaiting;

    @Nullable
    Change lastWaiting;

    long waitingSinceNanos;

    /**
     * Called once: the region is held and the work may begin, or the hold broke before. May be called before the call
     * that asked for the region returns.
     *
     * @param why null if the region is held
     */
    protected abstract void held(@Nullable BlockError why);

    /** The region, or -1 if this holds none. */
    public final long region() {
        return region;
    }

    /** Why this hold is worth nothing any more, or null. */
    public final @Nullable BlockError broken() {
        return broken;
    }

    final void begin(long newRegion, boolean lock, long newSequence) {
        region = newRegion;
        locks = lock;
        sequence = newSequence;
        announced = false;
        overtaken = false;
        broken = null;
        firstWaiting = null;
        lastWaiting = null;
    }

    final boolean copies() {
        return !locks && broken == null;
    }

    final void add(Change change, long nowNanos) {
        change.nextWaiting = null;
        Change last = lastWaiting;
        if (last == null) {
            firstWaiting = change;
            waitingSinceNanos = nowNanos;
        } else {
            last.nextWaiting = change;
        }
        lastWaiting = change;
    }

    final @Nullable Change poll() {
        Change first = firstWaiting;
        if (first != null) {
            firstWaiting = first.nextWaiting;
            first.nextWaiting = null;
            if (firstWaiting == null) {
                lastWaiting = null;
            }
        }
        return first;
    }
}
