package dev.ferry.image.qcow2;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The parts of L2 tables that are in memory, in a number that is bounded; found by an open table with linear probing,
 * given up by a clock. What is dirty, being read or in use by a copy is never given up.
 *
 * <p>Thread: the disk's loop.
 */
final class MapCache {
    static final ValueLayout.OfInt BIG_ENDIAN_INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    static final ValueLayout.OfLong BIG_ENDIAN = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private static final int SLICE_BYTES_MAX = 4096;
    private static final int SLICES_MIN = 64;

    private final BlockDevice file;
    private final L1Table l1;
    private final boolean extended;
    private final int entryBytes;
    private final int sliceEntries;
    private final int capacity;
    private final @Nullable MapSlice[] found;
    private final MapSlice[] all;
    private final Waiter.List noRoom = new Waiter.List();
    private int count;
    private int hand;
    private @Nullable Load freeLoad;

    MapCache(BlockDevice file, L1Table l1, Qcow2Header header, long bytesMax) {
        this.file = file;
        this.l1 = l1;
        this.extended = header.extended();
        this.entryBytes = header.entryBytes();
        this.sliceEntries = Math.min(header.tableEntries(), SLICE_BYTES_MAX / entryBytes);
        this.capacity = Math.clamp(bytesMax / sliceBytes(), SLICES_MIN, 1 << 24);
        this.found = new MapSlice[Integer.highestOneBit(capacity) * 4];
        this.all = new MapSlice[capacity];
    }

    int sliceEntries() {
        return sliceEntries;
    }

    int entryBytes() {
        return entryBytes;
    }

    /** Of memory. */
    private long sliceBytes() {
        return (long) sliceEntries * (extended ? entryBytes + Integer.BYTES : entryBytes);
    }

    /** Bytes of tables in memory. */
    long bytes() {
        return count * sliceBytes();
    }

    /**
     * The slice that describes a guest cluster, whose table must be there.
     *
     * @return null if it has to be waited for; the waiter is resumed
     */
    @Nullable
    MapSlice slice(long index, Waiter waiter) {
        MapSlice slice = find(index);
        if (slice == null) {
            slice = claim();
            if (slice == null) {
                noRoom.add(waiter);
                return null;
            }
            slice.index = index;
            slice.loading = true;
            insert(slice);
            slice.waiting.add(waiter);
            load().start(slice);
            return null;
        }
        if (slice.loading) {
            slice.waiting.add(waiter);
            return null;
        }
        slice.used = true;
        return slice;
    }

    /** The slice if it is in memory and can be used. */
    @Nullable
    MapSlice present(long index) {
        MapSlice slice = find(index);
        return slice == null || slice.loading ? null : slice;
    }

    /** Slices may have become free to go. */
    void roomAgain() {
        if (!noRoom.isEmpty()) {
            noRoom.resumeAll(null);
        }
    }

    // ---- the table

    private int slot(long index) {
        long hash = index * 0x9e3779b97f4a7c15L;
        return (int) (hash >>> 33) & (found.length - 1);
    }

    private @Nullable MapSlice find(long index) {
        int at = slot(index);
        MapSlice slice = found[at];
        while (slice != null && slice.index != index) {
            at = (at + 1) & (found.length - 1);
            slice = found[at];
        }
        return slice;
    }

    private void insert(MapSlice slice) {
        int at = slot(slice.index);
        while (found[at] != null) {
            at = (at + 1) & (found.length - 1);
        }
        found[at] = slice;
    }

    private void remove(MapSlice slice) {
        int mask = found.length - 1;
        int hole = slot(slice.index);
        while (found[hole] != slice) {
            hole = (hole + 1) & mask;
        }
        found[hole] = null;
        for (int at = (hole + 1) & mask; found[at] != null; at = (at + 1) & mask) {
            MapSlice moved = found[at];
            if (((at - slot(moved.index)) & mask) >= ((at - hole) & mask)) {
                found[hole] = moved;
                found[at] = null;
                hole = at;
            }
        }
        slice.index = -1;
    }

    private @Nullable MapSlice claim() {
        if (count < capacity) {
            MapSlice slice = new MapSlice(sliceEntries, extended);
            all[count++] = slice;
            return slice;
        }
        for (int looked = 0; looked < 2 * capacity; looked++) {
            MapSlice slice = all[hand];
            hand = hand + 1 == capacity ? 0 : hand + 1;
            if (slice.used) {
                slice.used = false;
            } else if (slice.evictable()) {
                if (slice.index >= 0) {
                    remove(slice);
                }
                return slice;
            }
        }
        return null;
    }

    // ---- reading

    private Load load() {
        Load load = freeLoad;
        if (load == null) {
            return new Load();
        }
        freeLoad = load.nextFree;
        return load;
    }

    private final class Load implements Completion {
        private final IoBuffer bytes = IoBuffer.allocate(sliceEntries * entryBytes);
        private @Nullable Load nextFree;
        private @Nullable MapSlice slice;

        void start(MapSlice wanted) {
            slice = wanted;
            file.read(l1.positionOf(wanted.index, sliceEntries), bytes, 0, bytes.capacity(), this);
        }

        @Override
        public void complete(@Nullable BlockError error) {
            MapSlice loaded = Objects.requireNonNull(slice);
            slice = null;
            for (int i = 0; error == null && i < sliceEntries; i++) {
                loaded.entries[i] = bytes.segment().get(BIG_ENDIAN, (long) i * entryBytes);
                if (extended) {
                    loaded.bitmaps[i] = bytes.segment().get(BIG_ENDIAN, (long) i * entryBytes + Long.BYTES);
                    loaded.clean[i] = 0;
                }
            }
            nextFree = freeLoad;
            freeLoad = this;
            loaded.loading = false;
            loaded.used = true;
            loaded.clean();
            if (error != null) {
                remove(loaded);
            }
            loaded.waiting.resumeAll(error);
            roomAgain();
        }
    }
}
