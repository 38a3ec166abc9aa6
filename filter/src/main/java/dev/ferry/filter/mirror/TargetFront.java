package dev.ferry.filter.mirror;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import org.jspecify.annotations.Nullable;

/**
 * What a mirror does with its target apart from the guest's changes: takes it up and lets it go (rule 9), and hands its
 * regions to copiers and verifiers (rule 5).
 */
abstract class TargetFront extends SourceFront {
    final Loop loop;
    final TargetSide target;
    final MirrorListener listener;
    final int shift;
    final RegionTable table;
    final Holds holds;
    final StallWatch watch;
    final @Nullable StepMap steps;
    private final MirrorSettings settings;
    boolean attached;
    /** An error of the source that a flush of the mirror's own met, which the guest's next flush ends with. */
    @Nullable
    BlockError owedToFlush;

    /** In the order of arrival among all changes and holds. */
    long sequence;

    private boolean targetForgets;

    TargetFront(
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
        this.steps = steps;
        this.table = new RegionTable(geometry.sizeBytes(), shift, steps);
        this.holds = new Holds(this, table);
        this.watch = new StallWatch(loop, settings.targetStallNanos(), this::checkStall);
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
        targetChanged();
    }

    private void forgetUnflushed() {
        if (steps == null) {
            table.markAllPending();
        } else {
            steps.forgetUnflushed();
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
        markUnfinished();
        holds.breakAll(why);
        target.abandon(why);
        targetChanged();
        return true;
    }

    /** What the target has not ended is not in step, whether the guest has been answered or not. */
    void markUnfinished() {
        for (Change change = firstChange(); change != null; change = change.next) {
            if (change.targetPending) {
                table.markPending(change);
            }
        }
    }

    /** Called by the watch. Gives the instant from which the oldest thing that is waited for has been waiting. */
    private long checkStall(long nowNanos) {
        long bound = nowNanos - settings.targetStallNanos();
        if (attached && target.oldestNanos() <= bound) {
            letGo(BlockError.of(ErrorKind.TIMED_OUT, "target", "write", "no answer within the bound"));
        }
        return Math.min(holds.breakOlderThan(bound), target.oldestNanos());
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

    /** So much of the disk, from the beginning on, both sides lie over the same content; 0: they lie over nothing in common. */
    public long belowBytes() {
        return settings.belowBytes();
    }

    /** True if the target reads as zeroes there, or as what both sides lie over, so that zeroes, or that, need not be written. */
    public boolean targetIsZero(long region) {
        return settings.targetIsZero() && !table.written(region);
    }

    /** True if a region was in step already when a move went on that had been interrupted. */
    public boolean kept(long region) {
        return table.kept(region);
    }

    /** Bytes of a range in such regions. */
    public long keptBytes(long offset, long length) {
        return table.keptBytes(offset, length);
    }

    /** For a target that is the same as the source there to begin with, before anything goes through this mirror. */
    public void inStep(long region) {
        Invariant.that(steps == null && table.isFree(region), "region taken for copied");
        table.markCopied(region);
    }

    /** For a move that goes on, before its copier begins: the target has a hole there, which need not be zeroed. */
    public void targetHole(long offset, long length) {
        table.markHole(offset, length);
    }

    /** From here on, notes which regions of a range are changed, so that a map of the source can be trusted elsewhere. */
    public void watchChanges(long fromRegion, long endRegion) {
        table.watch(fromRegion, endRegion);
        for (Change change = firstChange(); change != null; change = change.next) {
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

    /** Writes part of a copy to the target. */
    public void copyWrite(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (refuse(completion)) {
            return;
        }
        table.markWritten(offset, length);
        target.write(offset, buffer, at, length, 0, completion);
        watch.arm();
    }

    /** The unit in which {@link #copyFromSource} takes its ranges; 0: the stores do not copy among themselves. */
    public int offloadUnitBytes() {
        int unit = attached ? target.device().offloadUnitBytes(source) : 0;
        return unit <= regionBytes() ? unit : 0;
    }

    /**
     * Has the stores copy part of a copy among themselves.
     *
     * @param completion {@link ErrorKind#UNSUPPORTED}: they have not, and the target is none the worse for it
     */
    public void copyFromSource(long offset, long length, Completion completion) {
        if (refuse(completion)) {
            return;
        }
        table.markWritten(offset, length);
        target.copyFrom(source, offset, length, completion);
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

    /** Asks the target for the map of what it has of its own. */
    public void targetOwnExtents(long offset, long length, ExtentSink sink, Completion completion) {
        if (refuse(completion)) {
            return;
        }
        target.ownExtents(offset, length, sink, completion);
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

    final void copiedNow(long region) {
        table.markCopied(region);
        if (steps != null) {
            steps.copiedNow();
        }
    }

    private void checkTarget(BlockDevice device) {
        Invariant.that(device.geometry().sizeBytes() >= geometry.sizeBytes(), "target smaller than source");
        Invariant.that(
                device.geometry().blockSizeBytes() <= geometry.blockSizeBytes(),
                "target's blocks larger than source's");
        Invariant.that(device.capabilities().zero() && device.capabilities().fua(), "target without zeroes or FUA");
    }

    // ---- the changes of a guest, which the mirror has

    /** The oldest change in flight. */
    abstract @Nullable Change firstChange();

    /** Rule 5: what the copy of a region has to wait for. */
    abstract int changesBefore(RegionHold hold);

    /** The target was let go, or taken up. */
    abstract void targetChanged();

    /** A change that has waited, and reached neither side: begins again from the front. */
    abstract void again(Change change);
}
