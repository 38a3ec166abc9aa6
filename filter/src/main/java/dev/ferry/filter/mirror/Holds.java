package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import org.jspecify.annotations.Nullable;

/** The holds of a mirror: how they begin, end and break, and what becomes of the changes that wait for them. */
final class Holds {
    private final TargetFront mirror;
    private final RegionTable table;

    Holds(TargetFront mirror, RegionTable table) {
        this.mirror = mirror;
        this.table = table;
    }

    void begin(long region, RegionHold hold, boolean locks, long sequence) {
        hold.begin(region, locks, sequence);
        table.add(hold);
        hold.changesBefore = mirror.changesBefore(hold);
        announce(hold);
    }

    private void announce(RegionHold hold) {
        if (hold.changesBefore == 0 && !hold.announced) {
            hold.announced = true;
            hold.held(hold.broken);
        }
    }

    void announceReady() {
        for (RegionHold hold = table.nextReady(); hold != null; hold = table.nextReady()) {
            announce(hold);
        }
    }

    boolean end(RegionHold hold, boolean done) {
        if (!done) {
            breakOff(hold, BlockError.of(ErrorKind.CANCELLED, "mirror", "copy", "given up"));
        }
        long region = hold.region;
        table.remove(hold);
        if (hold.broken != null) {
            return false;
        }
        if (!hold.locks && !hold.overtaken) {
            mirror.copiedNow(region);
        }
        releaseWaiting(hold);
        return true;
    }

    void breakOff(RegionHold hold, BlockError why) {
        if (hold.broken != null) {
            return;
        }
        hold.broken = why;
        hold.changesBefore = 0;
        releaseWaiting(hold);
        announce(hold);
    }

    void breakAll(BlockError why) {
        for (RegionHold hold = table.nextUnbroken(); hold != null; hold = table.nextUnbroken()) {
            breakOff(hold, why);
        }
    }

    /** @return since when the oldest of those is waited for that are left; {@link Long#MAX_VALUE} if none is */
    long breakOlderThan(long nanos) {
        for (RegionHold hold = table.oldestWaiting(); hold != null; hold = table.oldestWaiting()) {
            if (hold.waitingSinceNanos > nanos) {
                return hold.waitingSinceNanos;
            }
            breakOff(hold, BlockError.of(ErrorKind.TIMED_OUT, "mirror", "copy", "a guest waited for too long"));
        }
        return Long.MAX_VALUE;
    }

    /** Lets those go on that waited for a hold, which is over or broken. */
    private void releaseWaiting(RegionHold hold) {
        // A hold used again within this cycle has a new list; this one is taken as a whole.
        @Nullable Change waiting = hold.firstWaiting;
        hold.firstWaiting = null;
        hold.lastWaiting = null;
        boolean broken = hold.broken != null;
        boolean locks = hold.locks;
        while (waiting != null) {
            Change change = waiting;
            waiting = change.nextWaiting;
            change.nextWaiting = null;
            if (locks) {
                mirror.again(change);
            } else if (broken) {
                table.markPending(change);
                change.targetEnded();
            } else {
                change.beginTarget();
            }
        }
    }
}
