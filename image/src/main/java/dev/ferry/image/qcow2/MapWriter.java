package dev.ferry.image.qcow2;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Writes what has changed of L1 and L2 into the file, in batches: all that became dirty in one turn of the loop, or while
 * the batch before was being written, goes together. A guest's request that changed the map ends only when its batch has
 * been written, so that it outlives this process as what goes into a raw file does.
 *
 * <p>Nothing here is ordered by flushes, since nothing need be: whatever the map may say at any time is true of what is
 * durable (see {@link Qcow2Device}). What could not be written stays dirty and is written with the next batch.
 *
 * <p>Thread: the disk's loop.
 */
final class MapWriter implements Completion {
    private final Loop loop;
    private final BlockDevice file;
    private final L1Table l1;
    private final MapCache cache;
    private final Runnable turn = this::run;
    private final Waiter.Joined next = new Waiter.Joined();
    private final Waiter.Joined current = new Waiter.Joined();
    private List<MapSlice> dirty = new ArrayList<>();
    private List<MapSlice> writing = new ArrayList<>();
    private boolean turnComes;
    private boolean inFlight;
    private int outstanding;
    private @Nullable BlockError error;
    private @Nullable Piece free;

    MapWriter(Loop loop, BlockDevice file, L1Table l1, MapCache cache) {
        this.loop = loop;
        this.file = file;
        this.l1 = l1;
        this.cache = cache;
    }

    /** Entries of a slice have changed. */
    void touched(MapSlice slice, int from, int to) {
        if (!slice.dirty()) {
            dirty.add(slice);
        }
        slice.touch(from, to);
        schedule();
    }

    boolean clean() {
        return dirty.isEmpty() && l1.dirtyChunks.isEmpty() && !inFlight;
    }

    /** Tells the waiter when all that has changed is in the file. */
    void join(Waiter waiter) {
        if (clean()) {
            waiter.mapWritten(null);
            return;
        }
        if (inFlight && dirty.isEmpty() && l1.dirtyChunks.isEmpty()) {
            current.add(waiter);
            return;
        }
        next.add(waiter);
        schedule();
    }

    private void schedule() {
        if (!turnComes && !inFlight) {
            turnComes = true;
            loop.execute(turn);
        }
    }

    private void run() {
        turnComes = false;
        if (inFlight) {
            return;
        }
        inFlight = true;
        error = null;
        outstanding = 1;
        current.takeFrom(next);
        List<MapSlice> batch = dirty;
        dirty = writing;
        writing = batch;
        for (int chunk = l1.dirtyChunks.nextSetBit(0); chunk >= 0; chunk = l1.dirtyChunks.nextSetBit(chunk + 1)) {
            l1.dirtyChunks.clear(chunk);
            piece().writeChunk(chunk);
        }
        for (int i = 0; i < batch.size(); i++) {
            piece().writeSlice(batch.get(i));
        }
        complete(null);
    }

    /** One of the writes of a batch has ended, or all have been submitted. */
    @Override
    public void complete(@Nullable BlockError requestError) {
        if (requestError != null) {
            error = requestError;
        }
        if (--outstanding > 0) {
            return;
        }
        writing.clear();
        inFlight = false;
        if (!next.isEmpty() || (error == null && !dirty.isEmpty())) {
            schedule();
        }
        current.tellAll(error);
        cache.roomAgain();
    }

    private Piece piece() {
        Piece piece = free;
        if (piece == null) {
            return new Piece();
        }
        free = piece.nextFree;
        return piece;
    }

    /** One write; used again. */
    private final class Piece implements Completion {
        private final IoBuffer bytes =
                IoBuffer.allocate(Math.max(cache.sliceEntries() * cache.entryBytes(), L1Table.CHUNK_ENTRIES * 8));
        private @Nullable Piece nextFree;
        private @Nullable MapSlice slice;
        private int chunk;
        private int from;
        private int to;

        void writeSlice(MapSlice changed) {
            slice = changed;
            from = changed.dirtyFrom;
            to = changed.dirtyTo;
            changed.writing();
            changed.pins++;
            int entryBytes = cache.entryBytes();
            for (int i = from; i < to; i++) {
                long at = (long) (i - from) * entryBytes;
                bytes.segment().set(MapCache.BIG_ENDIAN, at, changed.entries[i]);
                if (changed.bitmaps.length > 0) {
                    bytes.segment().set(MapCache.BIG_ENDIAN, at + Long.BYTES, changed.bitmaps[i]);
                }
            }
            outstanding++;
            long position = l1.positionOf(changed.index, cache.sliceEntries()) + (long) from * entryBytes;
            file.write(position, bytes, 0, (to - from) * entryBytes, 0, this);
        }

        void writeChunk(int changed) {
            slice = null;
            chunk = changed;
            int count = l1.chunkEntries(changed);
            for (int i = 0; i < count; i++) {
                long entry = l1.entry(changed * L1Table.CHUNK_ENTRIES + i);
                bytes.segment().set(MapCache.BIG_ENDIAN, i * 8L, entry);
            }
            outstanding++;
            file.write(l1.chunkPosition(changed), bytes, 0, count * 8, 0, this);
        }

        @Override
        public void complete(@Nullable BlockError requestError) {
            MapSlice written = slice;
            slice = null;
            if (written != null) {
                written.pins--;
                written.written();
                if (requestError != null) {
                    touched(written, from, to);
                }
            } else if (requestError != null) {
                l1.dirtyChunks.set(chunk);
            }
            nextFree = free;
            free = this;
            MapWriter.this.complete(requestError);
        }
    }
}
