package dev.ferry.filter.mirror;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A disk with two sides: the <em>source</em>, which is the authority, and a <em>target</em> that a copier brings into step
 * with it while the guest reads and writes. The disk is cut into regions; each is pending, being copied, or copied.
 *
 * <ol>
 *   <li>Reads go to the source.
 *   <li>A change of a pending region goes to the source only.
 *   <li>A change of a copied region goes to both sides at once and ends when both have ended.
 *   <li>A change of a region that is being copied goes to the source at once, and to the target once the copy of that
 *       region has been written there. The guest waits for that one region at most.
 *   <li>The copy of a region begins when the changes that were in flight in it have ended; later ones follow rule 4, so a
 *       busy guest cannot hold the copier off.
 *   <li>Overlapping changes are never in flight together: a {@code Gate} above sees to it, and it is checked here.
 *   <li>Zeroes and discards are changes, and stay zeroes and discards on the target.
 *   <li>A request across regions of different states is split, and ends once.
 *   <li>A target that errs, or stalls past its bound, is let go: whoever waits for it is answered, regions with changes in
 *       flight are pending again, and so is what is changed from then on. An error of the source is the guest's, and
 *       makes its range pending again.
 * </ol>
 *
 * <p><b>Thread.</b> The loop's. <b>Sizes</b>: the guest sees those of the source; the target is at least as large, takes
 * blocks no larger than the source's (an {@code Aligner} in front of it sees to that) and has zeroes and FUA (a {@code
 * CheckedDevice} in front of it sees to that). In the steady state a request allocates nothing.
 */
public class Mirror extends TargetFront {
    private final ChangeList changes = new ChangeList(this);
    /** From the moment on that the target was first allowed to trail. */
    private @Nullable Trail trail;

    private @Nullable Joint freeJoints;
    private long bytesMirrored;

    /**
     * @param source what there was before; in use already, or not
     * @param target a device that nobody else uses
     */
    public Mirror(Loop loop, BlockDevice source, BlockDevice target, MirrorSettings settings, MirrorListener listener) {
        this(loop, source, target, settings, listener, null);
    }

    /**
     * A mirror that keeps a record of what is in step, for after a crash.
     *
     * @param target the target; or null: there is none yet, the guest goes on on the source, what it changes is recorded,
     *     and {@link #reattach} brings one
     */
    public Mirror(
            Loop loop,
            BlockDevice source,
            @Nullable BlockDevice target,
            MirrorSettings settings,
            MirrorListener listener,
            @Nullable StepMap steps) {
        super(loop, source, target, settings, listener, steps);
        if (steps != null) {
            steps.bind(this);
        }
    }

    // ---- the device that the guest sees

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        change(Change.WRITE, offset, length, buffer, at, flags, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        boolean fast = (flags & RequestFlags.FAST_ZERO) != 0;
        if (fast && !source.capabilities().fastZero()) {
            completion.complete(BlockError.of(
                    ErrorKind.UNSUPPORTED, "mirror", "zero", offset, length, "the source has no fast zeroes"));
            return;
        }
        change(Change.ZERO, offset, length, null, 0, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        change(Change.DISCARD, offset, length, null, 0, flags, completion);
    }

    /**
     * Both sides: what the guest has been told is durable must be so on the target too when it takes over. Of a target that
     * trails {@link #settle} sees to that before, and the guest is answered by the source.
     */
    @Override
    public void flush(Completion completion) {
        flush(completion, attached && !trailing() && !leavesBehind());
    }

    /** True while the guest's changes of what is copied go to the source alone. */
    boolean leavesBehind() {
        return false;
    }

    private void flush(Completion completion, boolean both) {
        BlockError owed = owedToFlush;
        if (owed != null) {
            owedToFlush = null;
            completion.complete(owed);
        } else if (both) {
            flushBoth(completion);
        } else {
            source.flush(completion);
        }
    }

    private void flushBoth(Completion completion) {
        Joint joint = joint();
        joint.begin(completion);
        joint.add();
        source.flush(joint);
        if (attached) {
            target.flush(joint.targetFlushEnd);
            watch.arm();
        } else {
            joint.targetEnd.complete(null);
        }
    }

    /** Bytes of the guest's changes that went to the target. */
    public long bytesMirrored() {
        return bytesMirrored;
    }

    // ---- trailing

    /** Lets the target trail from now on: the guest is answered by the source, and the target follows in its own time. */
    public void trail(TrailSettings settings) {
        Trail begun = trail;
        if (begun == null) {
            trail = makeTrail(settings);
        } else {
            begun.open(true);
        }
    }

    Trail makeTrail(TrailSettings settings) {
        return new Trail(loop, this, shift, settings);
    }

    /** True while the guest is answered by the source. */
    public boolean trailing() {
        Trail behind = trail;
        return behind != null && behind.open();
    }

    /** True if the target trails whenever it is not closed up. One that cannot keep up even so trails no more. */
    public boolean trails() {
        Trail behind = trail;
        return behind != null && !behind.spent();
    }

    /**
     * Ends trailing, until {@link #trailAgain}: from now on a change ends when both sides have ended it.
     *
     * @param whenInStep completes when the target has got all that it had not got before, or was let go
     */
    public void closeUp(Completion whenInStep) {
        Trail behind = trail;
        if (behind == null) {
            whenInStep.complete(null);
        } else {
            behind.open(false);
            behind.caughtUp(whenInStep);
        }
    }

    /** Undoes {@link #closeUp}. */
    public void trailAgain() {
        Trail behind = trail;
        if (behind != null) {
            behind.open(true);
        }
    }

    /** Makes durable on both sides what had been written when it was called; completes as {@link #flush} does. */
    public void settle(Completion completion) {
        Trail behind = trail;
        if (behind == null) {
            flush(completion, attached);
        } else {
            behind.caughtUp(ignored -> flushBoth(completion));
        }
    }

    /** Memory in use for what the guest was told is done and the target has not got yet. */
    public long trailingBytes() {
        Trail behind = trail;
        return behind == null ? 0 : behind.usedBytes();
    }

    /** How often a change of the guest had to wait for a target that trailed too far behind. */
    public long heldBack() {
        Trail behind = trail;
        return behind == null ? 0 : behind.heldBack();
    }

    /** How often the guest went on on the source alone since a target that trailed took nothing any more. */
    public int overruns() {
        Trail behind = trail;
        return behind == null ? 0 : behind.overruns();
    }

    // ---- rules

    @Override
    int changesBefore(RegionHold hold) {
        long from = regionOffset(hold.region);
        return changes.countOverlapping(from, from + regionLength(hold.region));
    }

    private void change(
            int kind, long offset, long length, @Nullable IoBuffer buffer, int at, int flags, Completion completion) {
        long end = offset + length;
        StepMap record = steps;
        if (record != null) {
            long first = offset >>> shift;
            if (!record.admits(first, table.endRegion(end))) {
                record.park(changes.take(kind, offset, length, buffer, at, flags, completion));
                return;
            }
            record.begin(first, table.endRegion(end));
        }
        long runEnd = runEnd(kind, offset, end);
        if (runEnd == end) {
            issue(changes.take(kind, offset, length, buffer, at, flags, completion));
            return;
        }
        // Rule 8. Each part looks at the state of its regions when it is submitted: it may have changed meanwhile.
        Joint joint = joint();
        joint.begin(completion);
        for (long from = offset; from < end; from = runEnd) {
            runEnd = runEnd(kind, from, end);
            joint.add();
            int partAt = at + (int) (buffer == null ? 0 : from - offset);
            issue(changes.take(kind, from, runEnd - from, buffer, partAt, flags, joint));
        }
        joint.complete(null);
    }

    @Override
    final void targetChanged() {
        Trail behind = trail;
        if (behind != null) {
            behind.restart();
        }
    }

    @Override
    final void again(Change change) {
        int kind = change.kind;
        long offset = change.offset;
        long length = change.length;
        IoBuffer buffer = change.buffer;
        int at = change.at;
        int flags = change.flags;
        Completion completion = Objects.requireNonNull(change.completion);
        changes.recycle(change);
        change(kind, offset, length, buffer, at, flags, completion);
    }

    @Override
    final @Nullable Change firstChange() {
        return changes.first();
    }

    /** The record of what is in step is not kept any more. */
    final void recordLost(BlockError why) {
        listener.recordLost(why);
    }

    private long runEnd(int kind, long from, long end) {
        if (!attached) {
            return end;
        }
        Trail behind = trail;
        long most = behind == null || kind != Change.WRITE ? end : Math.min(end, from + behind.partBytes());
        return table.runEnd(from, most);
    }

    private void issue(Change change) {
        RegionHold hold = attached ? table.holdOf(change.offset >>> shift) : null;
        if (hold != null && hold.locks) {
            hold.add(change, loop.nanoTime());
            watch.arm();
            return;
        }
        boolean mirrored = hold != null || (attached && table.copied(change.offset >>> shift));
        Trail behind = mirrored ? trail : null;
        if (behind != null && behind.holdsBack(change)) {
            return;
        }
        if (behind != null && behind.overrun()) {
            passOver(change, hold);
            return;
        }
        change.sequence = ++sequence;
        changes.add(change, trail == null);
        if (behind != null) {
            behind.enter(change);
        }
        if (hold != null) {
            changeWhileCopying(change, hold);
        } else if (mirrored) {
            changeBoth(change);
        } else {
            changeSource(change);
        }
        if (behind != null) {
            behind.entered();
        }
    }

    /** The target trails too far behind: its regions are pending again, and the guest goes on. */
    private void passOver(Change change, @Nullable RegionHold hold) {
        if (hold == null) {
            change.sequence = ++sequence;
            changes.add(change, false);
            changeSource(change);
        } else {
            holds.breakOff(hold, BlockError.of(ErrorKind.TIMED_OUT, "target", "write", "it trails too far behind"));
            again(change);
        }
    }

    /** Rule 2. */
    void changeSource(Change change) {
        table.markPending(change);
        table.noteChange(change);
        change.begin(false);
    }

    /** Rule 3. */
    void changeBoth(Change change) {
        change.begin(true);
        change.beginTarget();
    }

    /** Rule 4. */
    void changeWhileCopying(Change change, RegionHold hold) {
        hold.add(change, loop.nanoTime());
        watch.arm();
        change.begin(true);
    }

    final void submitToSource(Change change) {
        switch (change.kind) {
            case Change.WRITE ->
                source.write(change.offset, change.bytes(), change.at, (int) change.length, change.flags, change);
            case Change.ZERO -> source.writeZeroes(change.offset, change.length, change.flags, change);
            default -> source.discard(change.offset, change.length, change.flags, change);
        }
    }

    void submitToTarget(Change change) {
        bytesMirrored += change.length;
        int guests = change.flags & ~RequestFlags.FAST_ZERO;
        int flags = change.place.early ? guests & ~RequestFlags.FUA : guests;
        watch.arm();
        switch (change.kind) {
            case Change.WRITE -> {
                table.markWritten(change.offset, change.length);
                target.write(change.offset, change.bytes(), change.at, (int) change.length, flags, change.targetEnd);
            }
            case Change.ZERO -> {
                if ((flags & RequestFlags.NO_HOLE) != 0) {
                    // If the source fails it, the target has room allocated for nothing, which a copy has to give back.
                    table.markWritten(change.offset, change.length);
                }
                target.writeZeroes(change.offset, change.length, flags, change.targetEnd);
            }
            default -> target.discard(change.offset, change.length, flags, change.targetEnd);
        }
    }

    /** Rule 9, second half: what is on the source there is not known, so the target is not in step. */
    void sourceFailed(Change change, BlockError error) {
        table.markPending(change);
        table.noteChange(change);
        RegionHold hold = table.holdOf(change.offset >>> shift);
        if (hold != null && hold.copies()) {
            holds.breakOff(hold, error);
        }
    }

    /** The guest's part of a change is done, and the target's is not. */
    final void acknowledge(Change change) {
        Completion completion = Objects.requireNonNull(change.completion);
        change.completion = null;
        completion.complete(change.error);
    }

    final void ended(Change change) {
        changes.remove(change);
        boolean ready = table.changeEnded(change);
        Completion completion = change.completion;
        BlockError error = change.error;
        change.completion = null;
        if (change.place.in) {
            Objects.requireNonNull(trail).leave(change);
        } else {
            changes.recycle(change);
        }
        if (completion != null) {
            completion.complete(error);
        }
        if (ready) {
            holds.announceReady();
        }
    }

    private Joint joint() {
        Joint joint = freeJoints;
        if (joint == null) {
            return new Joint(this);
        }
        freeJoints = joint.nextFree;
        joint.nextFree = null;
        return joint;
    }

    final void recycle(Change change) {
        changes.recycle(change);
    }

    final void recycle(Joint joint) {
        joint.nextFree = freeJoints;
        freeJoints = joint;
    }
}
