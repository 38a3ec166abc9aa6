package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.GrowingMap;
import dev.ferry.image.sparse.SectorBits;
import dev.ferry.image.sparse.TableCache;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * The sectors of a differencing disk that takes changes. A block that is not there gets its place first, and its bitmap if that
 * is not there either, both all zeroes and durable; then the table says where the bitmap is; when that is durable, that the block
 * is there in part. When the data of sectors is durable, their bits are set. A block that reads as zeroes becomes one that is there
 * whole. As for other disks, each change of the table is eight bytes within one sector, and the log stays empty.
 *
 * <p>What the table says is not believed where it would let a guest write to what is no block. The disk's loop.
 */
final class GrowingSectors implements GrowingMap {
    private static final long MIB = 1 << 20;
    private final String name;
    private final BlockDevice file;
    private final BlockMap map;
    private final int blockBytes;
    private final int sectorBytes;
    private final List<VhdxImage.Region> reserved;
    private final TableCache bitmaps;
    private final SectorBits bits;
    private long next;
    private boolean grown;

    /** @param reserved what is no block */
    GrowingSectors(
            String name,
            BlockDevice file,
            BlockMap map,
            int blockBytes,
            int sectorBytes,
            List<VhdxImage.Region> reserved) {
        this.name = name;
        this.file = file;
        this.map = map;
        this.blockBytes = blockBytes;
        this.sectorBytes = sectorBytes;
        this.reserved = List.copyOf(reserved);
        this.bitmaps = map.bitmaps();
        this.bits = new SectorBits(file, bitmaps, false);
        this.next = (file.lengthBytes() + MIB - 1) / MIB * MIB;
    }

    @Override
    public boolean knows(long sector) {
        return map.knows(sector);
    }

    @Override
    public void learn(long sector, Completion whenKnown) {
        map.learn(sector, whenKnown);
    }

    @Override
    public long positionOf(long sector) {
        long position = map.positionOf(sector);
        if (position >= 0) {
            return canBeData(position, sectorBytes) ? position : DAMAGED;
        }
        if (position == NOTHING && map.stateOf(sector) == PARTLY_PRESENT) {
            long place = map.placeOf(sector);
            boolean sound = place >= 0 && canBeData(place, sectorBytes) && canBeData(map.pageOfBit(sector), 1);
            return sound ? NOTHING : DAMAGED;
        }
        return position;
    }

    private boolean canBeData(long position, int bytes) {
        // For each request: an iterator would be an object.
        for (int i = 0; i < reserved.size(); i++) {
            VhdxImage.Region region = reserved.get(i);
            if (position < region.offset() + region.length() && position + bytes > region.offset()) {
                return false;
            }
        }
        return position >= 0 && position <= file.lengthBytes() - bytes;
    }

    @Override
    public long nothingFrom(long sector) {
        return map.stateOf(sector) == NOT_PRESENT ? leftInBlock(sector) : 1;
    }

    private long leftInBlock(long sector) {
        return map.sectorsInBlock() - (sector - map.firstOfBlock(sector));
    }

    @Override
    public int room(long sector) {
        if (map.stateOf(sector) != PARTLY_PRESENT) {
            return 0;
        }
        return (int) Math.min(leftInBlock(sector), BlockMap.leftInPage(sector));
    }

    @Override
    public long take(long sector, int count) {
        map.hold(sector);
        map.holdBitmapEntry(sector);
        bitmaps.hold(map.pageOfBit(sector));
        return map.placeOf(sector);
    }

    @Override
    public void giveUp(long sector, int count) {
        release(sector, map.pageOfBit(sector));
    }

    private void release(long sector, long page) {
        bitmaps.release(page);
        map.releaseBitmapEntry(sector);
        map.release(sector);
    }

    @Override
    public void enter(long sector, int count, long position, Completion whenWritten) {
        long page = map.pageOfBit(sector);
        bits.put(page, BlockMap.bitInPage(sector), count, true, error -> {
            release(sector, page);
            whenWritten.complete(error);
        });
    }

    // ---- room for a block

    @Override
    public void grow(long sector, Completion whenReady) {
        map.hold(sector);
        map.learnBitmapEntry(sector, error -> {
            if (error != null) {
                map.release(sector);
                whenReady.complete(error);
                return;
            }
            Completion done = problem -> {
                map.release(sector);
                map.releaseBitmapEntry(sector);
                whenReady.complete(problem);
            };
            if (map.stateOf(sector) != NOT_PRESENT) {
                room(0, done, () -> place(sector, PRESENT, done));
            } else if (map.hasBitmap(sector)) {
                clear(sector, map.firstOfBlock(sector), done);
            } else {
                room(MIB, done, () -> bitmap(sector, done));
            }
        });
    }

    /** Makes the file longer, by a block and by something in front of it, and makes that durable. */
    private void room(long inFront, Completion otherwise, Runnable then) {
        grown = true;
        Completion longer = GrowingMap.then(otherwise, () -> file.flush(GrowingMap.then(otherwise, then)));
        file.resize(next + inFront + blockBytes, longer);
    }

    private void bitmap(long sector, Completion whenDone) {
        byte[] entry = entry(next | PRESENT);
        next += MIB;
        write(map.placeOfBitmapEntry(sector), entry, GrowingMap.then(whenDone, () -> {
            map.enterBitmap(sector, entry);
            file.flush(GrowingMap.then(whenDone, () -> place(sector, PARTLY_PRESENT, whenDone)));
        }));
    }

    private void place(long sector, int state, Completion whenDone) {
        byte[] entry = entry(next | state);
        next += blockBytes;
        write(map.placeOfEntry(sector), entry, GrowingMap.then(whenDone, () -> {
            map.enter(sector, entry);
            whenDone.complete(null);
        }));
    }

    /** Bits of a block that is not there say nothing, and may be set; before it is there in part they are cleared. */
    private void clear(long sector, long from, Completion whenDone) {
        long end = map.firstOfBlock(sector) + map.sectorsInBlock();
        if (from >= end) {
            room(0, whenDone, () -> place(sector, PARTLY_PRESENT, whenDone));
            return;
        }
        long page = map.pageOfBit(from);
        int count = (int) Math.min(end - from, BlockMap.leftInPage(from));
        Completion further = GrowingMap.then(whenDone, () -> clear(sector, from + count, whenDone));
        if (!canBeData(page, BlockMap.BITMAP_PAGE_BYTES)) {
            whenDone.complete(
                    BlockError.of(ErrorKind.CORRUPT, name, "write", page, -1, "an entry of its tables is damaged"));
            return;
        }
        bitmaps.load(page, GrowingMap.then(whenDone, () -> clearPage(page, BlockMap.bitInPage(from), count, further)));
    }

    private void clearPage(long page, int first, int count, Completion whenDone) {
        byte[] bitmap = bitmaps.at(page);
        int bit = first;
        while (bitmap != null && bit < first + count && !bits.isSet(bitmap, bit)) {
            bit++;
        }
        if (bit == first + count) {
            whenDone.complete(null);
            return;
        }
        bitmaps.hold(page);
        bits.put(page, first, count, false, error -> {
            bitmaps.release(page);
            whenDone.complete(error);
        });
    }

    private static byte[] entry(long number) {
        byte[] bytes = new byte[Long.BYTES];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(number);
        return bytes;
    }

    private void write(long place, byte[] bytes, Completion whenWritten) {
        IoBuffer buffer = IoBuffer.allocate(bytes.length);
        buffer.copyFrom(bytes, 0, 0, bytes.length);
        file.write(place, buffer, 0, bytes.length, 0, error -> {
            // The kernel reads from it until here.
            buffer.release();
            whenWritten.complete(error);
        });
    }

    @Override
    public void settle(Completion whenSettled) {
        if (grown) {
            file.resize(next, whenSettled);
        } else {
            whenSettled.complete(null);
        }
    }
}
