package dev.ferry.stack;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.filter.tracking.Tracker;
import dev.ferry.nbd.server.MetadataContext;
import dev.ferry.nbd.wire.Nbd;

/**
 * A bitmap as NBD clients see it: {@code qemu:dirty-bitmap:NAME}, whose status is 1 where a block is dirty. Once its
 * tracker marks in it no more, it answers with an error. Thread: the loop of the disk, as for the bitmap.
 */
public final class DirtyBitmapContext implements MetadataContext {
    private static final int DIRTY = 1;

    /** Answers hold so many at most; whoever wants to know more asks again. */
    private static final int EXTENTS_MAX = 8192;

    private final String bitmapName;
    private final DirtyBitmap bitmap;
    private final Tracker tracker;

    public DirtyBitmapContext(String bitmapName, DirtyBitmap bitmap, Tracker tracker) {
        this.bitmapName = bitmapName;
        this.bitmap = bitmap;
        this.tracker = tracker;
    }

    @Override
    public String name() {
        return Nbd.DIRTY_BITMAP + bitmapName;
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        if (tracker.find(bitmapName) != bitmap) {
            completion.complete(BlockError.of(
                    ErrorKind.NOT_FOUND, name(), "extents", offset, length, "this bitmap is not there any more"));
            return;
        }
        long end = offset + length;
        long at = offset;
        for (int i = 0; i < EXTENTS_MAX && at < end; i++) {
            long dirtyAt = bitmap.nextDirty(at);
            boolean dirty = dirtyAt == at;
            long turn = Math.min(dirty ? bitmap.nextClean(at) : dirtyAt, end);
            sink.extent(at, turn - at, dirty ? DIRTY : 0);
            at = turn;
        }
        completion.complete(null);
    }
}
