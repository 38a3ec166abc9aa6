package dev.ferry.filter.mirror;

import dev.ferry.block.Completion;
import dev.ferry.block.Loop;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What lets a target trail: changes that the guest has been told are done, and that the target has still to end.
 *
 * <p>Their bytes are captured when they arrive, once for both sides, in memory that is taken once. The bounds are those
 * of {@link TrailSettings}. A change for which there is no room waits, so that a guest that writes faster than its target
 * takes it writes at the target's speed, and the move comes to an end. It does not wait for long, though: a target that
 * gives room to nobody for so long is not slow but away, and from then on the guest goes on on the source alone, its
 * regions are pending again, until the target has caught up by half. A target that this happens to again and again does
 * not trail any more, or the move would have no end: then guests wait for it as for one nearby.
 *
 * <p>Thread: the loop's. In the steady state a change allocates nothing.
 */
class Trail {
    /** After which a target does not trail any more. */
    static final int OVERRUNS_MAX = 8;

    private final Loop loop;
    private final Mirror mirror;
    private final TrailSettings settings;
    final TrailRing ring;
    private final TrailOrder order;
    private final StallWatch watch;
    private final List<Waiter> waiters = new ArrayList<>();
    private @Nullable Change firstHeld;
    private @Nullable Change lastHeld;
    private boolean open = true;
    private boolean spent;
    private boolean overrun;
    private boolean admitting;
    private boolean working;
    private boolean workAgain;
    private long heldBack;
    private int overruns;

    /** Somebody who wants to know when all is with the target that came before. */
    private record Waiter(long sequence, Completion caughtUp) {}

    Trail(Loop loop, Mirror mirror, int regionShift, TrailSettings settings) {
        this.loop = loop;
        this.mirror = mirror;
        this.settings = settings;
        this.ring = new TrailRing(settings.bytesMax());
        this.order = new TrailOrder(regionShift);
        this.watch = new StallWatch(loop, settings.waitNanosMax(), this::checkHeld);
    }

    // ---- bounds

    /** True while guests are answered by the source. */
    boolean open() {
        return open;
    }

    void open(boolean trails) {
        open = trails && !spent;
        work();
    }

    /** True once it has turned out that the target cannot keep up even so. */
    boolean spent() {
        return spent;
    }

    int partBytes() {
        return settings.partBytes();
    }

    /** Bytes of memory in use for what the target has not got yet. */
    long usedBytes() {
        return ring.usedBytes();
    }

    long heldBack() {
        return heldBack;
    }

    int overruns() {
        return overruns;
    }

    /** True while the guest goes on on the source alone. */
    boolean overrun() {
        return overrun;
    }

    /** Keeps a change for which there is no room. It begins again from the front when there is, or when it has waited long. */
    boolean holdsBack(Change change) {
        if (!open || overrun || ((firstHeld == null || admitting) && fits(change))) {
            return false;
        }
        heldBack++;
        change.place.sinceNanos = loop.nanoTime();
        change.nextWaiting = null;
        Change before = lastHeld;
        if (before == null) {
            firstHeld = change;
        } else {
            before.nextWaiting = change;
        }
        lastHeld = change;
        watch.arm();
        return true;
    }

    private boolean fits(Change change) {
        TrailPlace oldest = order.first();
        if (oldest == null) {
            return true;
        }
        return order.count() < settings.changesMax()
                && (change.kind != Change.WRITE || ring.fits(change.length))
                && loop.nanoTime() - oldest.sinceNanos <= settings.ageNanosMax();
    }

    private boolean hasCaughtUp() {
        TrailPlace oldest = order.first();
        return oldest == null
                || (order.count() <= settings.changesMax() / 2
                        && ring.usedBytes() <= settings.bytesMax() / 2
                        && loop.nanoTime() - oldest.sinceNanos <= settings.ageNanosMax() / 2);
    }

    /** Called by the watch. */
    private long checkHeld(long nowNanos) {
        Change oldest = firstHeld;
        if (oldest != null && nowNanos - oldest.place.sinceNanos >= settings.waitNanosMax()) {
            overrun = true;
            overruns++;
            if (overruns == OVERRUNS_MAX) {
                spent = true;
                open = false;
                overrun = false;
            }
            work();
        }
        Change left = firstHeld;
        return left == null ? Long.MAX_VALUE : left.place.sinceNanos;
    }

    // ---- changes

    /** A change with a leg on the target is about to begin. */
    void enter(Change change) {
        TrailPlace place = change.place;
        place.early = open;
        if (open && change.kind == Change.WRITE) {
            capture(change);
        }
        place.ringMark = ring.mark();
        place.sinceNanos = loop.nanoTime();
        order.enter(place);
    }

    void capture(Change change) {
        int at = ring.take(change.length);
        ring.memory().copyFrom(change.bytes(), change.at, at, (int) change.length);
        change.buffer = ring.memory();
        change.at = at;
    }

    /** To be called when a change that has entered has begun: it may have overtaken others. */
    void entered() {
        work();
    }

    /** A change has ended on both sides; it is used again once those before it have. */
    void leave(Change change) {
        order.leave(change.place);
        for (TrailPlace place = order.pollLeft(); place != null; place = order.pollLeft()) {
            place.early = false;
            free(place);
            mirror.recycle(place.change);
        }
        if (order.first() == null) {
            ring.rewind();
        }
        work();
    }

    void free(TrailPlace oldest) {
        ring.freeUpTo(oldest.ringMark);
    }

    /** The mirror has let go of its target, or takes one up: nobody waits for it now. */
    void restart() {
        overrun = false;
        work();
    }

    /** Completes when the target has ended every change that was in the trail when this was called, or has been let go. */
    void caughtUp(Completion whenCaughtUp) {
        TrailPlace youngest = order.last();
        if (youngest == null) {
            whenCaughtUp.complete(null);
        } else {
            waiters.add(new Waiter(youngest.change.sequence, whenCaughtUp));
        }
    }

    /** A cycle and not a recursion: whatever is begun here may end inline, and bring more to do. */
    private void work() {
        workAgain = true;
        if (working) {
            return;
        }
        working = true;
        while (workAgain) {
            workAgain = false;
            askTarget();
            answerWaiters();
            if (overrun && hasCaughtUp()) {
                overrun = false;
            }
            admitHeld();
        }
        working = false;
    }

    private void askTarget() {
        for (TrailPlace place = order.pollQueued(); place != null; place = order.pollQueued()) {
            if (place.overtaken) {
                place.change.targetEnded();
            } else {
                place.change.beginTarget();
            }
        }
    }

    private void answerWaiters() {
        for (int i = 0; i < waiters.size(); ) {
            TrailPlace oldest = order.first();
            if (oldest == null || oldest.change.sequence > waiters.get(i).sequence()) {
                waiters.remove(i).caughtUp().complete(null);
            } else {
                i++;
            }
        }
    }

    private void admitHeld() {
        admitting = true;
        Change change = firstHeld;
        while (change != null && (!open || overrun || !mirror.attached() || fits(change))) {
            firstHeld = change.nextWaiting;
            if (firstHeld == null) {
                lastHeld = null;
            }
            change.nextWaiting = null;
            mirror.again(change);
            change = firstHeld;
        }
        admitting = false;
    }
}
