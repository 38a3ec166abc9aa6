package dev.ferry.migration.copy;

import dev.ferry.filter.mirror.TrackedMirror;
import dev.ferry.filter.tracking.DirtyBitmap;
import java.util.function.BooleanSupplier;

/**
 * What is copied next beside a guest that is followed by iterations: regions that the guest has let be for a while come
 * first, in the order of the disk; those that it is at work on are left for last, and are copied only as long as there
 * is too much left to be moved while the guest is held. Never comes to an end by itself: the guest goes on.
 *
 * <p>The first iteration is over when every region has been taken once, hot or not; each one after that when the copier has
 * come to the end of the disk and begins again at the front.
 */
public final class ColdFirst implements Agenda {
    private final TrackedMirror mirror;
    private final BooleanSupplier littleLeft;
    private BooleanSupplier leavesHot = () -> false;
    private boolean untilNothingIsLeft;
    private boolean idled;
    private int iterations = 1;
    private long last = -1;
    /** Of the first iteration: what has not been taken yet, or was in step already. */
    private final DirtyBitmap untaken;

    /** @param littleLeft true if what is pending now could be moved while the guest is held */
    public ColdFirst(TrackedMirror mirror, BooleanSupplier littleLeft) {
        this.mirror = mirror;
        this.littleLeft = littleLeft;
        this.untaken = new DirtyBitmap(mirror.geometry().sizeBytes(), mirror.regionBytes());
        untaken.setAll();
    }

    /**
     * Asked where only what was changed lately is left, and too much of it.
     *
     * @param leaves true if that is left alone for now, since it will be cold soon
     */
    public void leavesHot(BooleanSupplier leaves) {
        leavesHot = leaves;
    }

    /** Which iteration this is, from 1 on. */
    public int iterations() {
        return iterations;
    }

    /** True if there was nothing to be copied at some time since this was last asked. */
    public boolean idled() {
        boolean since = idled;
        idled = false;
        return since;
    }

    /** The guest is held, or both sides are kept in step from now on: everything, and then it is done. */
    public void untilNothingIsLeft(boolean whole) {
        untilNothingIsLeft = whole;
    }

    @Override
    public boolean done() {
        return untilNothingIsLeft && mirror.pendingBytes() == 0;
    }

    /** A region cools down in a second or so. */
    @Override
    public long lookAgainNanos() {
        return untilNothingIsLeft ? 1_000_000 : 20_000_000;
    }

    @Override
    public long next(long from) {
        if (last >= 0 && from == last + 1) {
            untaken.clear(mirror.regionOffset(last), mirror.regionLength(last));
        }
        if (iterations == 1 && firstIsOver()) {
            iterations = 2;
            last = -1;
        }
        long region = choose(from);
        if (region < 0) {
            idled = true;
        } else {
            iterations += iterations > 1 && region < last ? 1 : 0;
            last = region;
        }
        return region;
    }

    private boolean firstIsOver() {
        for (long region = nextUntaken(0); region >= 0; region = nextUntaken(region + 1)) {
            if (!mirror.copied(region)) {
                return false;
            }
            untaken.clear(mirror.regionOffset(region), mirror.regionLength(region));
        }
        return true;
    }

    private long nextUntaken(long from) {
        if (from >= mirror.regions()) {
            return -1;
        }
        long offset = untaken.nextDirty(mirror.regionOffset(from));
        return offset == untaken.sizeBytes() ? -1 : offset / mirror.regionBytes();
    }

    private long choose(long from) {
        long first = mirror.nextPending(from);
        if (first < 0 && from > 0) {
            first = mirror.nextPending(0);
        }
        if (first < 0 || untilNothingIsLeft) {
            return first;
        }
        long cold = cold(first);
        if (cold < 0 && first > 0) {
            cold = cold(0);
        }
        boolean enough = iterations > 1 && littleLeft.getAsBoolean();
        if (cold >= 0 || enough || leavesHot.getAsBoolean()) {
            return cold;
        }
        long untakenYet = iterations == 1 ? nextUntaken(0) : -1;
        boolean free = untakenYet >= 0 && mirror.nextPending(untakenYet) == untakenYet;
        return free ? untakenYet : first;
    }

    private long cold(long from) {
        long region = mirror.nextPending(from);
        while (region >= 0 && mirror.hot(region)) {
            region = mirror.nextPending(region + 1);
        }
        return region;
    }
}
