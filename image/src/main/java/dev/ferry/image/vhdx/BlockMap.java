package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.TableCache;

/**
 * Where the blocks of a disk lie, or, of a differencing one, its sectors: those are the grains then, since a block may be here
 * in part. Table and bitmaps come through caches, a page at a time.
 */
final class BlockMap implements GrainMap {
    static final int PAGE_BYTES = 64 << 10;
    private static final int PAGE_ENTRIES = PAGE_BYTES / 8;
    static final int BITMAP_PAGE_BYTES = 4096;
    private static final int BITMAP_PAGE_SECTORS = BITMAP_PAGE_BYTES * 8;

    private final TableCache tables;
    private final TableCache bitmaps;
    private final long tableAt;
    private final long ratio;
    private final int grainBytes;
    private final long grainsInBlock;

    /**
     * @param tableAt where the block table begins
     * @param ratio blocks that a bitmap is for
     * @param grainBytes a sector of a differencing disk, else a block
     * @param grainsInBlock 1 where grains are blocks
     */
    BlockMap(String name, BlockDevice file, long tableAt, long ratio, int grainBytes, long grainsInBlock) {
        this.tables = new TableCache(name, file, PAGE_BYTES);
        this.bitmaps = new TableCache(name, file, BITMAP_PAGE_BYTES);
        this.tableAt = tableAt;
        this.ratio = ratio;
        this.grainBytes = grainBytes;
        this.grainsInBlock = grainsInBlock;
    }

    private long blockEntry(long grain) {
        long block = grain / grainsInBlock;
        return block + block / ratio;
    }

    private long bitmapEntry(long grain) {
        long chunk = grain / grainsInBlock / ratio;
        return chunk * (ratio + 1) + ratio;
    }

    private long pageOf(long entry) {
        return tableAt + entry / PAGE_ENTRIES * PAGE_BYTES;
    }

    private boolean has(long entry) {
        return tables.at(pageOf(entry)) != null;
    }

    private long entry(long index) {
        byte[] page = tables.at(pageOf(index));
        return page == null ? 0 : u64(page, (int) (index % PAGE_ENTRIES) * 8);
    }

    private static int state(long entry) {
        return (int) (entry & 7);
    }

    private static long place(long entry) {
        long place = entry >>> PLACE_SHIFT;
        return place > PLACE_MAX ? DAMAGED : place << PLACE_SHIFT;
    }

    /** Sectors of a block count, though the block is not here as a whole. */
    private boolean partly(long grain) {
        return grainsInBlock > 1 && state(entry(blockEntry(grain))) == PARTLY_PRESENT;
    }

    /** Where the page of the bitmap is that has the bit of a sector, or {@link #DAMAGED}. */
    private long bitmapPage(long sector) {
        long entry = entry(bitmapEntry(sector));
        long place = state(entry) == PRESENT ? place(entry) : DAMAGED;
        return place < 0 ? DAMAGED : place + sector % CHUNK_SECTORS / BITMAP_PAGE_SECTORS * BITMAP_PAGE_BYTES;
    }

    @Override
    public boolean knows(long grain) {
        if (!has(blockEntry(grain))) {
            return false;
        }
        if (!partly(grain)) {
            return true;
        }
        if (!has(bitmapEntry(grain))) {
            return false;
        }
        long page = bitmapPage(grain);
        return page == DAMAGED || bitmaps.at(page) != null;
    }

    /** One after the other: the page of the block's entry, that of its bitmap's, and that of the bitmap. */
    @Override
    public void learn(long grain, Completion whenKnown) {
        Completion further = error -> {
            if (error == null) {
                learn(grain, whenKnown);
            } else {
                whenKnown.complete(error);
            }
        };
        if (knows(grain)) {
            whenKnown.complete(null);
        } else if (!has(blockEntry(grain))) {
            tables.load(pageOf(blockEntry(grain)), further);
        } else if (!has(bitmapEntry(grain))) {
            tables.load(pageOf(bitmapEntry(grain)), further);
        } else {
            bitmaps.load(bitmapPage(grain), further);
        }
    }

    @Override
    public long positionOf(long grain) {
        long entry = entry(blockEntry(grain));
        return switch (state(entry)) {
            case NOT_PRESENT -> NOTHING;
            case UNDEFINED, ZERO, UNMAPPED, UNMAPPED_ONCE -> ZEROES;
            case PRESENT -> within(entry, grain);
            case PARTLY_PRESENT -> partly(grain) ? sector(entry, grain) : DAMAGED;
            default -> DAMAGED;
        };
    }

    private long within(long entry, long grain) {
        long place = place(entry);
        return place < 0 ? DAMAGED : place + grain % grainsInBlock * grainBytes;
    }

    private long sector(long entry, long grain) {
        long place = bitmapPage(grain);
        byte[] page = place == DAMAGED ? null : bitmaps.at(place);
        if (page == null) {
            return DAMAGED;
        }
        int bit = (int) (grain % BITMAP_PAGE_SECTORS);
        return (page[bit >> 3] & 1 << (bit & 7)) != 0 ? within(entry, grain) : NOTHING;
    }

    // ---- for a disk that takes changes

    /** Where the entry of a grain's block is in the file. */
    long placeOfEntry(long grain) {
        return tableAt + blockEntry(grain) * Long.BYTES;
    }

    void hold(long grain) {
        tables.hold(pageOf(blockEntry(grain)));
    }

    void release(long grain) {
        tables.release(pageOf(blockEntry(grain)));
    }

    /** The entry of a grain's block is another one, as is written already. */
    void enter(long grain, byte[] entry) {
        enterAt(blockEntry(grain), entry);
    }

    private void enterAt(long index, byte[] entry) {
        byte[] page = tables.at(pageOf(index));
        if (page != null) {
            System.arraycopy(entry, 0, page, (int) (index % PAGE_ENTRIES) * Long.BYTES, Long.BYTES);
        }
    }

    // ---- whose grains are sectors

    /** What the table says of the block of a known sector. */
    int stateOf(long sector) {
        return state(entry(blockEntry(sector)));
    }

    /** Where the place of a sector is in the file, whoever it belongs to now; its block has one. */
    long placeOf(long sector) {
        return within(entry(blockEntry(sector)), sector);
    }

    /** Gets the entry of the bitmap of a sector's block into memory, where it stays until it is released. */
    void learnBitmapEntry(long sector, Completion whenHeld) {
        long page = pageOf(bitmapEntry(sector));
        tables.load(page, error -> {
            if (error == null) {
                tables.hold(page);
            }
            whenHeld.complete(error);
        });
    }

    void holdBitmapEntry(long sector) {
        tables.hold(pageOf(bitmapEntry(sector)));
    }

    void releaseBitmapEntry(long sector) {
        tables.release(pageOf(bitmapEntry(sector)));
    }

    boolean hasBitmap(long sector) {
        return state(entry(bitmapEntry(sector))) == PRESENT;
    }

    long placeOfBitmapEntry(long sector) {
        return tableAt + bitmapEntry(sector) * Long.BYTES;
    }

    void enterBitmap(long sector, byte[] entry) {
        enterAt(bitmapEntry(sector), entry);
    }

    /** Where the page with the bit of a sector is, or {@link #DAMAGED}; the entry of the bitmap is in memory. */
    long pageOfBit(long sector) {
        return bitmapPage(sector);
    }

    static int bitInPage(long sector) {
        return (int) (sector % BITMAP_PAGE_SECTORS);
    }

    static int leftInPage(long sector) {
        return BITMAP_PAGE_SECTORS - bitInPage(sector);
    }

    long firstOfBlock(long sector) {
        return sector / grainsInBlock * grainsInBlock;
    }

    long sectorsInBlock() {
        return grainsInBlock;
    }

    TableCache bitmaps() {
        return bitmaps;
    }
}
