package dev.ferry.filter.mirror;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Loop;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.filter.tracking.Tracker;
import org.jspecify.annotations.Nullable;

/**
 * A mirror that leaves the target behind: what the guest changes goes to the source alone, and a copied region that is
 * changed is pending again, so that the copier comes by once more. Rules 3 and 4 do not hold until {@link #follow}, from
 * when on this is a mirror like any other. All other rules hold throughout, and so does the record for after a crash: a
 * region that is copied and not open is in step.
 *
 * <p>Below it is a {@link Tracker}, which sees every change of the source. Two of its bitmaps say which regions were
 * changed <em>lately</em>, and which have to be compared (again): a region is the granularity of both.
 *
 * <p>Thread: the loop's.
 */
public class TrackedMirror extends Mirror {
    private static final String LATELY = "changed lately";
    private static final String UNPROVED = "to be compared";

    private final Tracker tracker;
    private final DirtyBitmap lately;
    private final DirtyBitmap before;
    private final DirtyBitmap unproved;
    private boolean follows;

    public TrackedMirror(
            Loop loop,
            BlockDevice source,
            @Nullable BlockDevice target,
            MirrorSettings settings,
            MirrorListener listener,
            @Nullable StepMap steps) {
        this(loop, new Tracker(source), target, settings, listener, steps);
    }

    private TrackedMirror(
            Loop loop,
            Tracker source,
            @Nullable BlockDevice target,
            MirrorSettings settings,
            MirrorListener listener,
            @Nullable StepMap steps) {
        super(loop, source, target, settings, listener, steps);
        tracker = source;
        long size = source.geometry().sizeBytes();
        lately = new DirtyBitmap(size, settings.regionBytes());
        before = new DirtyBitmap(size, settings.regionBytes());
        unproved = new DirtyBitmap(size, settings.regionBytes());
        source.add(LATELY, lately);
        source.add(UNPROVED, unproved);
    }

    /** From now on changes go to both sides, by the rules of every mirror. What is pending stays so until it is copied. */
    public void follow() {
        follows = true;
    }

    public boolean follows() {
        return follows;
    }

    /**
     * The present becomes the past: begins a new span of what counts as lately.
     *
     * @return bytes of regions that were changed in the span that ends
     */
    public long turn() {
        lately.moveTo(before);
        return before.dirtyBytes();
    }

    /** Begins a new span, and forgets the one before: nothing was changed lately. */
    public void cool() {
        lately.clearAll();
        before.clearAll();
    }

    /** Bytes of regions that were changed in this span. */
    public long latelyBytes() {
        return lately.dirtyBytes();
    }

    /** What sees every change of the source. */
    public Tracker tracker() {
        return tracker;
    }

    /** True if a region was changed in this span or the one before. */
    public boolean hot(long region) {
        long offset = regionOffset(region);
        int length = regionLength(region);
        return lately.isDirty(offset, length) || before.isDirty(offset, length);
    }

    /** Regions that have to be compared: everything that was changed since it was last cleared there. */
    public DirtyBitmap unproved() {
        return unproved;
    }

    @Override
    public void spoil(long offset, long length) {
        super.spoil(offset, length);
        unproved.set(offset, length);
    }

    /** What the guest is told is durable has to be so on the source: the target is not to take over before it is in step. */
    @Override
    boolean leavesBehind() {
        return !follows;
    }

    @Override
    void changeBoth(Change change) {
        if (follows) {
            super.changeBoth(change);
        } else {
            changeSource(change);
        }
    }

    @Override
    void changeWhileCopying(Change change, RegionHold hold) {
        if (follows) {
            super.changeWhileCopying(change, hold);
        } else {
            hold.overtaken = true;
            changeSource(change);
        }
    }
}
