package dev.ferry.image.vhd;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.image.sparse.GrowingMap;
import dev.ferry.image.sparse.SectorBits;
import dev.ferry.image.sparse.TableCache;

/**
 * The sectors of a differencing disk that takes changes. A block that is not there gets its place first, with a bitmap that
 * says that all of it is the parent's; when the data of sectors is durable, their bits are set. The disk's loop.
 */
final class GrowingSectors implements GrowingMap {
    private final BlockTable blocks;
    private final SectorMap sectors;
    private final TableCache bitmaps;
    private final SectorBits bits;

    /** @param bitmaps what the map of sectors reads through */
    GrowingSectors(BlockDevice file, BlockTable blocks, SectorMap sectors, TableCache bitmaps) {
        this.blocks = blocks;
        this.sectors = sectors;
        this.bitmaps = bitmaps;
        this.bits = new SectorBits(file, bitmaps, true);
    }

    @Override
    public boolean knows(long sector) {
        return sectors.knows(sector);
    }

    @Override
    public void learn(long sector, Completion whenKnown) {
        sectors.learn(sector, whenKnown);
    }

    @Override
    public long positionOf(long sector) {
        return sectors.positionOf(sector);
    }

    @Override
    public long nothingFrom(long sector) {
        return sectors.bitmapOf(sector) == NOTHING ? sectors.leftInBlock(sector) : 1;
    }

    @Override
    public int room(long sector) {
        return sectors.bitmapOf(sector) == NOTHING ? 0 : sectors.leftInBlock(sector);
    }

    @Override
    public long take(long sector, int count) {
        bitmaps.hold(sectors.bitmapOf(sector));
        return sectors.placeOf(sector);
    }

    @Override
    public void giveUp(long sector, int count) {
        bitmaps.release(sectors.bitmapOf(sector));
    }

    @Override
    public void enter(long sector, int count, long position, Completion whenWritten) {
        long bitmap = sectors.bitmapOf(sector);
        bits.put(bitmap, sectors.inBlock(sector), count, true, error -> {
            bitmaps.release(bitmap);
            whenWritten.complete(error);
        });
    }

    @Override
    public void grow(long sector, Completion whenReady) {
        long block = sectors.blockOf(sector);
        if (blocks.room(block) > 0) {
            place(block, whenReady);
        } else {
            blocks.grow(block, GrowingMap.then(whenReady, () -> place(block, whenReady)));
        }
    }

    /** Sectors of the block are the parent's still. */
    private void place(long block, Completion whenReady) {
        blocks.enter(block, 1, blocks.take(block, 1), whenReady);
    }

    @Override
    public void settle(Completion whenSettled) {
        blocks.settle(whenSettled);
    }
}
