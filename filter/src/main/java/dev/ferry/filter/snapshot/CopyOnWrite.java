package dev.ferry.filter.snapshot;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.Geometry;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.filter.tracking.Tracker;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A disk that can be written while its base is left alone: what is changed goes to an overlay, at the same offsets, and a
 * bitmap knows which blocks are there. For drills and trials, whose changes are thrown away.
 *
 * <pre>
 *   base     |aaaa|bbbb|cccc|dddd|      never changed
 *   overlay  |    |BBBB|    |DDDD|      as large as the base, empty at first: a sparse file, say
 *   read     |aaaa|BBBB|cccc|DDDD|
 * </pre>
 *
 * <p>It takes whole blocks of {@link #BLOCK_BYTES}, so that no block is in two places; an {@link
 * dev.ferry.filter.Aligner} above takes anything. A block is read from the overlay as soon as a change of it has ended.
 * Which blocks those are is known in memory only, so that nothing that is written here outlives this device, and flushes do
 * nothing.
 *
 * <p>Thread: the loop's. In the steady state a request allocates nothing.
 */
public final class CopyOnWrite implements BlockDevice {
    /** The unit of requests. */
    public static final int BLOCK_BYTES = 4096;

    private final BlockDevice base;
    private final Tracker overlay;
    private final DirtyBitmap changed;
    private final Geometry geometry;
    private final Capabilities capabilities;
    private @Nullable Parts free;

    /** @param overlay as large as the base; reads as zeroes */
    public CopyOnWrite(BlockDevice base, BlockDevice overlay) {
        Geometry below = base.geometry();
        Geometry above = overlay.geometry();
        Invariant.that(below.sizeBytes() == above.sizeBytes(), "overlay of another size");
        Invariant.that(
                below.blockSizeBytes() <= BLOCK_BYTES && above.blockSizeBytes() <= BLOCK_BYTES,
                "blocks larger than those of a copy on write");
        this.base = base;
        this.overlay = new Tracker(overlay);
        this.changed = new DirtyBitmap(below.sizeBytes(), BLOCK_BYTES);
        this.overlay.add("changed", changed);
        this.geometry = new Geometry(
                below.sizeBytes(),
                BLOCK_BYTES,
                Math.max(BLOCK_BYTES, below.preferredBytes()),
                Math.min(below.maxTransferBytes(), above.maxTransferBytes()) & -BLOCK_BYTES);
        Capabilities can = overlay.capabilities();
        this.capabilities = new Capabilities(
                false, true, can.zero(), can.fastZero(), can.discard(), can.extents(), can.rotational());
    }

    /** Bytes of blocks that have been changed. */
    public long changedBytes() {
        return changed.dirtyBytes();
    }

    /** The device that has all of a range; null if each has a part of it. */
    private @Nullable BlockDevice holder(long offset, long length) {
        long end = offset + length;
        if (changed.nextDirty(offset) >= end) {
            return base;
        }
        return changed.nextClean(offset) >= end ? overlay : null;
    }

    /** Where the run of blocks ends that lie on one device, or the range. */
    private long runEnd(long offset, long end) {
        long turn = Math.max(changed.nextDirty(offset), changed.nextClean(offset));
        return Math.min(turn, end);
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return capabilities;
    }

    // ---- reading

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        BlockDevice all = holder(offset, length);
        if (all != null) {
            all.read(offset, buffer, at, length, completion);
            return;
        }
        Parts parts = parts(completion);
        long end = offset + length;
        for (long from = offset; from < end; ) {
            long to = runEnd(from, end);
            BlockDevice one = changed.isDirty(from, 1) ? overlay : base;
            parts.missing++;
            one.read(from, buffer, at + (int) (from - offset), (int) (to - from), parts);
            from = to;
        }
        parts.complete(null);
    }

    private Parts parts(Completion completion) {
        Parts parts = free;
        if (parts == null) {
            parts = new Parts();
        } else {
            free = parts.nextFree;
            parts.nextFree = null;
        }
        parts.completion = completion;
        parts.missing = 1;
        return parts;
    }

    /** A read of both, which ends when all its parts have. Used again. */
    private final class Parts implements Completion {
        private @Nullable Parts nextFree;
        private @Nullable Completion completion;
        private @Nullable BlockError failure;
        private int missing;

        @Override
        public void complete(@Nullable BlockError error) {
            if (failure == null) {
                failure = error;
            }
            if (--missing > 0) {
                return;
            }
            Completion ended = Objects.requireNonNull(completion);
            BlockError why = failure;
            completion = null;
            failure = null;
            nextFree = free;
            free = this;
            ended.complete(why);
        }
    }

    /** As far as one device describes it: whoever wants to know more asks again. */
    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        long to = runEnd(offset, offset + length);
        BlockDevice one = changed.isDirty(offset, 1) ? overlay : base;
        one.extents(offset, to - offset, sink, completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        BlockDevice all = holder(offset, length);
        return all != null && all.locate(offset, length, range);
    }

    @Override
    public void located(long offset, int length, long nanos) {
        base.located(offset, length, nanos);
    }

    // ---- changing: the tracker marks what has ended

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        overlay.write(offset, buffer, at, length, flags & ~RequestFlags.FUA, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        overlay.writeZeroes(offset, length, flags & ~RequestFlags.FUA, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        overlay.discard(offset, length, flags & ~RequestFlags.FUA, completion);
    }

    @Override
    public void flush(Completion completion) {
        completion.complete(null);
    }

    /** Closes the overlay, and then the base. */
    @Override
    public void close(Completion completion) {
        overlay.close(error -> base.close(other -> completion.complete(error != null ? error : other)));
    }
}
