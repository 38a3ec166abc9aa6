package dev.ferry.image.vhd;

import static dev.ferry.image.vhd.VhdLayout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.GrowingMap;
import java.util.Arrays;

/**
 * The block allocation table of a dynamic or differencing disk that takes changes. Room is made for one block at a time: the file grows by it
 * and its footer is written at the new end; when both are durable the block's bitmap, all ones (of a differencing disk: zeroes), is written over the former
 * footer and made durable too; then the block can have its entry. So the footer is at the end of the file at each instant, or its
 * copy at the beginning counts, and behind the last block there is never anything but a footer: other programs put the next
 * block there, and take what is in it for zeroes.
 */
final class BlockTable implements GrowingMap {
    private static final long SECTOR_MAX = 0xffff_fffeL;

    private final String name;
    private final BlockDevice file;
    private final int[] blocks;
    private final int bitmapBytes;
    private final long tableAt;
    private final long strideBytes;
    private final IoBuffer footer;
    private final IoBuffer bitmap;
    private long next;
    private boolean ready;
    private boolean grown;

    /**
     * @param blocks the table, which this changes
     * @param footerBytes as it is in the file
     * @param end where the footer is, or the file ends if it is not at the end
     * @param own the sectors of a new block are those of the file, and not the parent's
     */
    BlockTable(
            String name,
            BlockDevice file,
            int[] blocks,
            int blockBytes,
            long tableAt,
            byte[] footerBytes,
            long end,
            boolean own) {
        this.name = name;
        this.file = file;
        this.blocks = blocks;
        this.bitmapBytes = bitmapBytes(blockBytes);
        this.tableAt = tableAt;
        this.strideBytes = (long) bitmapBytes + blockBytes;
        this.footer = IoBuffer.allocate(FOOTER_BYTES);
        footer.copyFrom(footerBytes, 0, 0, FOOTER_BYTES);
        byte[] bits = new byte[bitmapBytes];
        Arrays.fill(bits, (byte) (own ? -1 : 0));
        this.bitmap = IoBuffer.allocate(bitmapBytes);
        bitmap.copyFrom(bits, 0, 0, bitmapBytes);
        this.next = end;
    }

    @Override
    public boolean knows(long block) {
        return true;
    }

    @Override
    public void learn(long block, Completion whenKnown) {
        whenKnown.complete(null);
    }

    @Override
    public long positionOf(long block) {
        int sector = blocks[(int) block];
        return sector == -1 ? NOTHING : (sector & 0xffff_ffffL) * SECTOR_BYTES + bitmapBytes;
    }

    @Override
    public int room(long block) {
        return ready ? 1 : 0;
    }

    @Override
    public long take(long block, int count) {
        long position = next + bitmapBytes;
        next += strideBytes;
        ready = false;
        return position;
    }

    @Override
    public void enter(long block, int count, long position, Completion whenWritten) {
        int sector = (int) ((position - bitmapBytes) / SECTOR_BYTES);
        IoBuffer entry = IoBuffer.allocate(Integer.BYTES);
        entry.copyFrom(VhdLayout.bytes(sector), 0, 0, Integer.BYTES);
        file.write(tableAt + block * Integer.BYTES, entry, 0, Integer.BYTES, 0, error -> {
            if (error == null) {
                blocks[(int) block] = sector;
            }
            // The kernel reads from it until here.
            entry.release();
            whenWritten.complete(error);
        });
    }

    @Override
    public void grow(long block, Completion whenReady) {
        long end = next + strideBytes;
        if (end / SECTOR_BYTES > SECTOR_MAX) {
            whenReady.complete(
                    BlockError.of(ErrorKind.NO_SPACE, name, "write", "the format ends at 2 TiB, and so does the file"));
            return;
        }
        grown = true;
        Completion marked = GrowingMap.then(whenReady, () -> {
            ready = true;
            whenReady.complete(null);
        });
        Completion written = GrowingMap.then(whenReady, () -> file.flush(marked));
        Completion durable = GrowingMap.then(whenReady, () -> file.write(next, bitmap, 0, bitmapBytes, 0, written));
        Completion ended = GrowingMap.then(whenReady, () -> file.flush(durable));
        Completion longer = GrowingMap.then(whenReady, () -> file.write(end, footer, 0, FOOTER_BYTES, 0, ended));
        file.resize(end + FOOTER_BYTES, longer);
    }

    @Override
    public void settle(Completion whenSettled) {
        if (!grown) {
            whenSettled.complete(null);
            return;
        }
        Completion durable = GrowingMap.then(whenSettled, () -> file.resize(next + FOOTER_BYTES, whenSettled));
        Completion ended = GrowingMap.then(whenSettled, () -> file.flush(durable));
        file.write(next, footer, 0, FOOTER_BYTES, 0, ended);
    }
}
