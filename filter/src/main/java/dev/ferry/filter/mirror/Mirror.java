package dev.ferry.filter.mirror;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Invariant;
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
public class Mirror extends SourceFront {
    private final Loop loop;
    private final TargetSide target;
    private final MirrorSettings settings;
    private final MirrorListener listener;
    private final int shift;
    private final ChangeList changes;
    private final RegionTable table;
    private final Holds holds;
    private final StallWatch watch;
    private final @Nullable StepMap steps;
    private @Nullable Joint freeJoints;
    private boolean attached;
    private boolean targetForgets;
    private @Nullable BlockError owedToFlush;
    private long sequence;
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
        super(source);
        this.loop = loop;
        this.settings = settings;
        this.listener = listener;
        this.shift = Integer.numberOfTrailingZeros(settings.regionBytes());
        BlockDevice device = target == null ? new AbsentDevice(geometry) : target;
        checkTarget(device);
        this.attached = target != null;
        this.target = new TargetSide(loop, device, this::letGo);
        this.changes = new ChangeList(this);
        this.steps = steps;
        this.table = new RegionTable(geometry.sizeBytes(), shift, steps);
        this.holds = new Holds(this, table);
        this.watch = new StallWatch(loop, settings.targetStallNanos(), this::checkStall);
        if (steps != null) {
            steps.bind(this);
        }
    }

    private void checkTarget(BlockDevice device) {
        Invariant.that(device.geometry().sizeBytes() >= geometry.sizeBytes(), "target smaller than source");
        Invariant.that(
                device.geometry().blockSizeBytes() <= geometry.blockSizeBytes(),
                "target's blocks larger than source's");
        Invariant.that(device.capabilities().zero() && device.capabilities().fua(), "target without zeroes or FUA");
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

    /** Both sides: what the guest has been told is durable must be so on the target too when it takes over. */
    @Override
    public void flush(Completion completion) {
        BlockError owed = owedToFlush;
        if (owed != null) {
            owedToFlush = null;
            completion.complete(owed);
            return;
        }
        if (!attached) {
            source.flush(completion);
            return;
        }
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

    /**
     * Flushes both sides on the mirror's own account. An error of the source is the guest's: the next flush that it asks for
     * ends with it, as the source tells of it only once.
     *
     * @param whenDurable completes when both have ended, with an error if either failed
     */
    void flushSides(Completion whenDurable) {
        target.flush(targetError -> {
            if (targetError != null) {
                targetFlushFailed();
            }
            source.flush(sourceError -> {
                if (sourceError != null) {
                    owedToFlush = sourceError;
                }
                whenDurable.complete(targetError != null ? targetError : sourceError);
            });
        });
        watch.arm();
    }

    // ---- the two sides

    public BlockDevice target() {
        return target.device();
    }

    /** True while changes go to the target. */
    public boolean attached() {
        return attached;
    }

    /** Requests on the target that it has not ended, those that were abandoned too. */
    public int targetInFlight() {
        return target.inFlight();
    }

    /** Bytes of the guest's changes that went to the target. */
    public long bytesMirrored() {
        return bytesMirrored;
    }

    /** Bytes in regions that are not copied. */
    public long pendingBytes() {
        return table.pendingBytes();
    }

    /**
     * Lets go of the target without an error: the move is over, or called off. The listener is not told.
     *
     * @param targetIdle completes when the target has no request of this mirror any more; never, if one stalls for ever
     */
    public void detach(Completion targetIdle) {
        release(BlockError.of(ErrorKind.CANCELLED, "mirror", "detach", "the mirror was detached"));
        if (steps != null) {
            steps.close();
        }
        target.whenIdle(targetIdle);
    }

    /** Lets go of the target for now, as {@link #detach} does; but what is changed from here on is recorded. */
    public void setAside(Completion targetIdle) {
        release(BlockError.of(ErrorKind.CANCELLED, "mirror", "set aside", "the target was let go for now"));
        target.whenIdle(targetIdle);
    }

    /**
     * Takes up a target again after it was let go. Only what is pending has to be copied then.
     *
     * @param device the same content as the target that was let go, on which nothing is in flight any more
     * @param keepsUnflushed false if it may have lost what was not flushed: then all is pending that is not known to have
     *     been flushed, which without a record is everything
     */
    public void reattach(BlockDevice device, boolean keepsUnflushed) {
        Invariant.that(!attached && target.inFlight() == 0, "target taken up while the old one is in use");
        checkTarget(device);
        target.device(device);
        if (!keepsUnflushed || targetForgets) {
            forgetUnflushed();
        }
        targetForgets = false;
        attached = true;
    }

    private void forgetUnflushed() {
        if (steps == null) {
            table.markAllPending();
        } else {
            steps.forgetUnflushed();
        }
    }

    // ---- the copier's side

    long regionAt(long offset) {
        return offset >>> shift;
    }

    public int regionBytes() {
        return 1 << shift;
    }

    public long regions() {
        return table.regions();
    }

    public long regionOffset(long region) {
        return region << shift;
    }

    /** Bytes in a region: the last one may be short. */
    public int regionLength(long region) {
        return (int) Math.min(1L << shift, geometry.sizeBytes() - (region << shift));
    }

    /** True if both sides are in step there. */
    public boolean copied(long region) {
        return table.copied(region);
    }

    /** The first region from {@code from} on that is pending and that nobody holds, or -1. */
    public long nextPending(long from) {
        return table.nextPending(from);
    }

    /** True if the target reads as zeroes there, so that zeroes need not be written. */
    public boolean targetIsZero(long region) {
        return settings.targetIsZero() && !table.written(region);
    }

    /** True if a region was in step already when a move went on that had been interrupted. */
    public boolean kept(long region) {
        return table.kept(region);
    }

    /** For a move that goes on, before its copier begins: the target has a hole there, which need not be zeroed. */
    public void targetHole(long offset, long length) {
        table.markHole(offset, length);
    }

    /** From here on, notes which regions of a range are changed, so that a map of the source can be trusted elsewhere. */
    public void watchChanges(long fromRegion, long endRegion) {
        table.watch(fromRegion, endRegion);
        for (Change change = changes.first(); change != null; change = change.next) {
            table.noteChange(change);
        }
    }

    /** True if a region was changed since {@link #watchChanges}, or was being changed then. */
    public boolean changedSinceWatch(long region) {
        return table.changed(region);
    }

    /** Counts a region as copied that is a hole on both sides. The caller has its map from after {@link #watchChanges}. */
    public void skip(long region) {
        Invariant.that(
                attached && !table.changed(region) && targetIsZero(region) && table.isFree(region),
                "region skipped that may hold data");
        copiedNow(region);
    }

    /** The target was found to differ in a range: its regions are pending again, and have to be written in full. */
    public void spoil(long offset, long length) {
        table.spoil(offset, length);
        if (steps != null) {
            steps.spoil(offset >>> shift, table.endRegion(offset + length));
        }
    }

    /** Takes a pending region for copying: changes in it follow rule 4 from now on. */
    public void copy(long region, RegionHold hold) {
        Invariant.that(attached && !table.copied(region), "copy of a region that is not pending");
        holds.begin(region, hold, false, ++sequence);
    }

    /** Takes a region so that nothing changes on either side of it: changes wait for the end of the hold. */
    public void lock(long region, RegionHold hold) {
        holds.begin(region, hold, true, ++sequence);
    }

    /** Rule 5: what the copy of a region has to wait for. */
    int changesBefore(RegionHold hold) {
        long from = regionOffset(hold.region);
        return changes.countOverlapping(from, from + regionLength(hold.region));
    }

    /** Writes part of a copy to the target. */
    public void copyWrite(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (refuse(completion)) {
            return;
        }
        table.markWritten(offset, length);
        target.write(offset, buffer, at, length, 0, completion);
        watch.arm();
    }

    /** Makes zeroes of part of the target. */
    public void copyZeroes(long offset, long length, Completion completion) {
        if (refuse(completion)) {
            return;
        }
        target.writeZeroes(offset, length, 0, completion);
        watch.arm();
    }

    /** Reads the target, in order to compare it. */
    public void readTarget(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (refuse(completion)) {
            return;
        }
        target.read(offset, buffer, at, length, completion);
        watch.arm();
    }

    /** Asks the target for its map. */
    public void targetExtents(long offset, long length, ExtentSink sink, Completion completion) {
        if (refuse(completion)) {
            return;
        }
        target.extents(offset, length, sink, completion);
        watch.arm();
    }

    private boolean refuse(Completion completion) {
        if (!attached) {
            completion.complete(TargetLoss.notAttached());
        }
        return !attached;
    }

    /**
     * Ends a hold, with the work done, or without. Its owner has no request in flight.
     *
     * @param done for a copy: the region has been written on the target
     * @return true if the hold held until now, so that the work counts
     */
    public boolean end(RegionHold hold, boolean done) {
        return holds.end(hold, done);
    }

    // ---- rules

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
        long runEnd = runEnd(offset, end);
        if (runEnd == end) {
            issue(changes.take(kind, offset, length, buffer, at, flags, completion));
            return;
        }
        // Rule 8. Each part looks at the state of its regions when it is submitted: it may have changed meanwhile.
        Joint joint = joint();
        joint.begin(completion);
        for (long from = offset; from < end; from = runEnd) {
            runEnd = runEnd(from, end);
            joint.add();
            int partAt = at + (int) (buffer == null ? 0 : from - offset);
            issue(changes.take(kind, from, runEnd - from, buffer, partAt, flags, joint));
        }
        joint.complete(null);
    }

    /** A change that has waited, and reached neither side: begins again from the front. */
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

    final @Nullable Change firstChange() {
        return changes.first();
    }

    /** The record of what is in step is not kept any more. */
    final void recordLost(BlockError why) {
        listener.recordLost(why);
    }

    final void copiedNow(long region) {
        table.markCopied(region);
        if (steps != null) {
            steps.copiedNow();
        }
    }

    private long runEnd(long from, long end) {
        return attached ? table.runEnd(from, end) : end;
    }

    private void issue(Change change) {
        RegionHold hold = attached ? table.holdOf(change.offset >>> shift) : null;
        if (hold != null && hold.locks) {
            hold.add(change, loop.nanoTime());
            watch.arm();
            return;
        }
        change.sequence = ++sequence;
        changes.add(change);
        if (hold != null) {
            changeWhileCopying(change, hold);
        } else if (attached && table.copied(change.offset >>> shift)) {
            changeBoth(change);
        } else {
            table.markPending(change);
            table.noteChange(change);
            change.begin(false);
        }
    }

    /** Rule 3. */
    final void changeBoth(Change change) {
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
        int flags = change.flags & ~RequestFlags.FAST_ZERO;
        watch.arm();
        switch (change.kind) {
            case Change.WRITE -> {
                table.markWritten(change.offset, change.length);
                target.write(change.offset, change.bytes(), change.at, (int) change.length, flags, change.targetEnd);
            }
            case Change.ZERO -> target.writeZeroes(change.offset, change.length, flags, change.targetEnd);
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

    final void ended(Change change) {
        changes.remove(change);
        boolean ready = table.changeEnded(change);
        Completion completion = Objects.requireNonNull(change.completion);
        BlockError error = change.error;
        changes.recycle(change);
        completion.complete(error);
        if (ready) {
            holds.announceReady();
        }
    }

    // ---- letting go

    /** Rule 9, first half. */
    private void letGo(BlockError why) {
        if (release(why)) {
            if (!TargetLoss.keepsUnflushed(why)) {
                forgetOnRecord();
            }
            listener.targetLost(why);
        }
    }

    final void targetFlushFailed() {
        targetForgets = true;
        forgetOnRecord();
    }

    /** At once, and not only when it is taken up again: a crash may come before that. */
    private void forgetOnRecord() {
        if (steps != null) {
            steps.forgetUnflushed();
        }
    }

    private boolean release(BlockError why) {
        if (!attached) {
            return false;
        }
        attached = false;
        for (Change change = changes.first(); change != null; change = change.next) {
            if (change.targetPending) {
                table.markPending(change);
            }
        }
        holds.breakAll(why);
        target.abandon(why);
        return true;
    }

    /** Called by the watch. Gives the instant from which the oldest thing that is waited for has been waiting. */
    private long checkStall(long nowNanos) {
        long bound = nowNanos - settings.targetStallNanos();
        if (attached && target.oldestNanos() <= bound) {
            letGo(BlockError.of(ErrorKind.TIMED_OUT, "target", "write", "no answer within the bound"));
        }
        return Math.min(holds.breakOlderThan(bound), target.oldestNanos());
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

    final void recycle(Joint joint) {
        joint.nextFree = freeJoints;
        freeJoints = joint;
    }
}
