package dev.ferry.image.vhd;

import static dev.ferry.image.vhd.VhdLayout.SECTOR_BYTES;

import dev.ferry.block.Completion;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.TableCache;

/** Which sectors of a differencing disk are its own: blocks that are there have a bitmap each that says so. */
final class SectorMap implements GrainMap {
    private final int[] blocks;
    private final int blockSectors;
    private final int bitmapBytes;
    private final TableCache bitmaps;

    SectorMap(int[] blocks, int blockBytes, int bitmapBytes, TableCache bitmaps) {
        this.blocks = blocks;
        this.blockSectors = blockBytes / SECTOR_BYTES;
        this.bitmapBytes = bitmapBytes;
        this.bitmaps = bitmaps;
    }

    /** Where the place of a sector is in the file, whoever it belongs to now; its block is there. */
    long placeOf(long sector) {
        return bitmapOf(sector) + bitmapBytes + sector % blockSectors * SECTOR_BYTES;
    }

    /** How many sectors there are from this one on to the end of its block. */
    int leftInBlock(long sector) {
        return blockSectors - (int) (sector % blockSectors);
    }

    int inBlock(long sector) {
        return (int) (sector % blockSectors);
    }

    long blockOf(long sector) {
        return sector / blockSectors;
    }

    /** Where the bitmap of a sector's block lies in the file, or {@link #NOTHING}. */
    long bitmapOf(long sector) {
        int at = blocks[(int) (sector / blockSectors)];
        return at == -1 ? NOTHING : (at & 0xffff_ffffL) * SECTOR_BYTES;
    }

    @Override
    public boolean knows(long sector) {
        long bitmap = bitmapOf(sector);
        return bitmap == NOTHING || bitmaps.at(bitmap) != null;
    }

    @Override
    public void learn(long sector, Completion whenKnown) {
        bitmaps.load(bitmapOf(sector), whenKnown);
    }

    @Override
    public long positionOf(long sector) {
        long place = bitmapOf(sector);
        byte[] bitmap = place == NOTHING ? null : bitmaps.at(place);
        int within = (int) (sector % blockSectors);
        boolean own = bitmap != null && (bitmap[within >> 3] & 0x80 >> (within & 7)) != 0;
        return own ? place + bitmapBytes + (long) within * SECTOR_BYTES : NOTHING;
    }
}
