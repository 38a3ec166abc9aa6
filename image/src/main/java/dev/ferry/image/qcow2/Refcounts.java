package dev.ferry.image.qcow2;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import org.jspecify.annotations.Nullable;

/**
 * Refcounts, in slices of blocks, for the work in the background that changes them: one such work at a time, which enters
 * and leaves. Guests' requests never come here.
 *
 * <p>Thread: the disk's loop.
 */
final class Refcounts {
    private static final int SLICE_BYTES_MAX = 4096;
    private static final int SLICES_KEPT = 64;

    private final BlockDevice file;
    private final int clusterBits;
    private final int order;
    private final int sliceBytes;
    private final IoBuffer bytes;
    private final List<Slice> slices = new ArrayList<>();
    private final Queue<Steps> queue = new ArrayDeque<>();
    private boolean busy;

    /** The refcount table: offsets of blocks, 0 where there is none. */
    long[] table;

    long tableOffset;
    long tableClusters;

    /** The cluster behind the last that is in use. */
    long tail;

    /** Where to look for free clusters next. */
    long cursor;

    static final class Slice {
        final long index;
        final byte[] counts;
        boolean dirty;

        Slice(long index, byte[] counts) {
            this.index = index;
            this.counts = counts;
        }
    }

    Refcounts(BlockDevice file, Qcow2Image image) {
        this.file = file;
        this.clusterBits = image.header.clusterBits();
        this.order = image.header.refcountOrder();
        this.sliceBytes = (int) Math.min(SLICE_BYTES_MAX, image.header.clusterBytes());
        this.bytes = IoBuffer.allocate(sliceBytes);
        this.table = image.refcountTable;
        this.tableOffset = image.header.refcountTableOffset();
        this.tableClusters = image.header.refcountTableClusters();
        this.tail = image.tailCluster;
    }

    // ---- one at a time

    /** Starts work as soon as no other is at it. */
    void enter(Steps work) {
        if (busy) {
            queue.add(work);
        } else {
            busy = true;
            work.advance();
        }
    }

    /** @param sound false if what is in memory may not be what is in the file, and is to be forgotten */
    void leave(boolean sound) {
        if (!sound) {
            slices.clear();
        }
        while (slices.size() > SLICES_KEPT) {
            slices.removeFirst();
        }
        busy = false;
        Steps next = queue.poll();
        if (next != null) {
            busy = true;
            next.advance();
        }
    }

    boolean idle() {
        return !busy;
    }

    // ---- where a count is

    long countsInBlock() {
        return 1L << (clusterBits + 3 - order);
    }

    int countsInSlice() {
        return (sliceBytes * 8) >>> order;
    }

    boolean hasBlock(long cluster) {
        long block = cluster / countsInBlock();
        return block < table.length && table[(int) block] != 0;
    }

    @Nullable
    Slice present(long cluster) {
        long index = cluster / countsInSlice();
        for (int i = slices.size() - 1; i >= 0; i--) {
            if (slices.get(i).index == index) {
                return slices.get(i);
            }
        }
        return null;
    }

    long count(Slice slice, long cluster) {
        return Counts.at(slice.counts, (int) (cluster % countsInSlice()), order);
    }

    void set(Slice slice, long cluster, long count) {
        Counts.set(slice.counts, (int) (cluster % countsInSlice()), order, count);
        slice.dirty = true;
    }

    /** A slice of a new block, all of whose counts are 0. */
    void fresh(long cluster) {
        slices.add(new Slice(cluster / countsInSlice(), new byte[sliceBytes]));
    }

    private long positionOf(long slice) {
        long cluster = slice * countsInSlice();
        long within = cluster % countsInBlock() / countsInSlice() * sliceBytes;
        return table[(int) (cluster / countsInBlock())] + within;
    }

    /** Reads the slice of a cluster that has a block. */
    void load(long cluster, Completion completion) {
        long index = cluster / countsInSlice();
        file.read(positionOf(index), bytes, 0, sliceBytes, error -> {
            if (error == null) {
                byte[] counts = new byte[sliceBytes];
                bytes.copyTo(0, counts, 0, sliceBytes);
                slices.add(new Slice(index, counts));
            }
            completion.complete(error);
        });
    }

    int dirtySlices() {
        int dirty = 0;
        for (Slice slice : slices) {
            dirty += slice.dirty ? 1 : 0;
        }
        return dirty;
    }

    /** Writes one slice that is dirty; there must be one. */
    void writeOne(Completion completion) {
        for (Slice slice : slices) {
            if (slice.dirty) {
                slice.dirty = false;
                bytes.copyFrom(slice.counts, 0, 0, sliceBytes);
                file.write(positionOf(slice.index), bytes, 0, sliceBytes, 0, completion);
                return;
            }
        }
        completion.complete(null);
    }
}
