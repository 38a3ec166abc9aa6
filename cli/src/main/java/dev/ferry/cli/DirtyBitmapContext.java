package dev.ferry.cli;

import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.nbd.server.MetadataContext;
import dev.ferry.nbd.wire.Nbd;

/**
 * A bitmap as NBD clients see it: {@code qemu:dirty-bitmap:NAME}, whose status is 1 where a block is dirty. Thread: the
 * loop of the disk, as for the bitmap.
 */
final class DirtyBitmapContext implements MetadataContext {
    private static final int DIRTY = 1;

    /** Answers hold so many at most; whoever wants to know more asks again. */
    private static final int EXTENTS_MAX = 8192;

    private final String name;
    private final DirtyBitmap bitmap;

    DirtyBitmapContext(String bitmapName, DirtyBitmap bitmap) {
        this.name = Nbd.DIRTY_BITMAP + bitmapName;
        this.bitmap = bitmap;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
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
