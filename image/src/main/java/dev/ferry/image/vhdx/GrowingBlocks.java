package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.GrowingMap;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * The table of blocks of a disk that takes changes. New blocks lie at the end of the file, at whole MiB. An entry is eight
 * bytes within one sector, and written when what it points to is durable room; so each change of the table is whole or not
 * there, and the log, which is for changes that are larger, stays empty.
 *
 * <p>What the table says is not believed where it would let a guest write to what is no block.
 */
final class GrowingBlocks implements GrowingMap {
    private static final long MIB = 1 << 20;
    private static final long GROWTH_BYTES = 32 << 20;

    private final BlockDevice file;
    private final BlockMap map;
    private final int blockBytes;
    private final List<VhdxImage.Region> reserved;
    private long next;
    private int ready;
    private boolean grown;

    /** @param reserved what is no block */
    GrowingBlocks(BlockDevice file, BlockMap map, int blockBytes, List<VhdxImage.Region> reserved) {
        this.file = file;
        this.map = map;
        this.blockBytes = blockBytes;
        this.reserved = List.copyOf(reserved);
        this.next = (file.lengthBytes() + MIB - 1) / MIB * MIB;
    }

    @Override
    public boolean knows(long block) {
        return map.knows(block);
    }

    @Override
    public void learn(long block, Completion whenKnown) {
        map.learn(block, whenKnown);
    }

    @Override
    public long positionOf(long block) {
        long position = map.positionOf(block);
        if (position < 0) {
            return position;
        }
        // For each request: an iterator would be an object.
        for (int i = 0; i < reserved.size(); i++) {
            VhdxImage.Region region = reserved.get(i);
            if (position < region.offset() + region.length() && position + blockBytes > region.offset()) {
                return DAMAGED;
            }
        }
        return position;
    }

    @Override
    public int room(long block) {
        return Math.min(ready, 1);
    }

    @Override
    public long take(long block, int count) {
        long position = next;
        next += blockBytes;
        ready--;
        map.hold(block);
        return position;
    }

    @Override
    public void enter(long block, int count, long position, Completion whenWritten) {
        long entry = position | PRESENT;
        IoBuffer bytes = IoBuffer.allocate(Long.BYTES);
        byte[] number = new byte[Long.BYTES];
        ByteBuffer.wrap(number).order(ByteOrder.LITTLE_ENDIAN).putLong(entry);
        bytes.copyFrom(number, 0, 0, Long.BYTES);
        file.write(map.placeOfEntry(block), bytes, 0, Long.BYTES, 0, error -> {
            if (error == null) {
                map.enter(block, number);
            }
            map.release(block);
            // The kernel reads from it until here.
            bytes.release();
            whenWritten.complete(error);
        });
    }

    @Override
    public void grow(long block, Completion whenReady) {
        int count = (int) Math.max(1, GROWTH_BYTES / blockBytes);
        grown = true;
        Completion durable = GrowingMap.then(whenReady, () -> {
            ready = count;
            whenReady.complete(null);
        });
        long end = next + (long) count * blockBytes;
        file.resize(end, GrowingMap.then(whenReady, () -> file.flush(durable)));
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
