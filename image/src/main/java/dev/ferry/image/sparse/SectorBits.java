package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Changes bits in bitmaps that lie in a file and are read through a {@link TableCache}. Of one bitmap one change is on its way to
 * the file at a time, and those that come meanwhile go together as the next. A bit counts when it has been written. The disk's
 * loop.
 */
public final class SectorBits {
    private final BlockDevice file;
    private final TableCache bitmaps;
    private final boolean highestFirst;
    private final Map<Long, Update> updates = new HashMap<>();

    private record Change(int first, int count, boolean value, Completion whenWritten) {}

    /** @param highestFirst which bit of a byte is the first one */
    public SectorBits(BlockDevice file, TableCache bitmaps, boolean highestFirst) {
        this.file = file;
        this.bitmaps = bitmaps;
        this.highestFirst = highestFirst;
    }

    private int mask(int bit) {
        return highestFirst ? 0x80 >> (bit & 7) : 1 << (bit & 7);
    }

    public boolean isSet(byte[] bitmap, int bit) {
        return (bitmap[bit >> 3] & mask(bit)) != 0;
    }

    /**
     * Changes bits.
     *
     * @param bitmap where it is in the file; it is in memory, and held there
     */
    public void put(long bitmap, int first, int count, boolean value, Completion whenWritten) {
        updates.computeIfAbsent(bitmap, Update::new).add(new Change(first, count, value, whenWritten));
    }

    /** The changes of one bitmap that are not in the file yet. */
    private final class Update implements Completion {
        private final long bitmap;
        private List<Change> coming = new ArrayList<>();
        private List<Change> underWay = List.of();
        private @Nullable IoBuffer buffer;
        private byte[] bytes = {};
        private int from;

        Update(long bitmap) {
            this.bitmap = bitmap;
        }

        void add(Change change) {
            coming.add(change);
            if (underWay.isEmpty()) {
                write();
            }
        }

        private byte[] table() {
            byte[] table = bitmaps.at(bitmap);
            Invariant.that(table != null, "a bitmap that is held");
            return Objects.requireNonNull(table);
        }

        private void write() {
            underWay = coming;
            coming = new ArrayList<>();
            byte[] next = table().clone();
            from = next.length;
            int last = 0;
            for (Change change : underWay) {
                for (int bit = change.first; bit < change.first + change.count; bit++) {
                    next[bit >> 3] = (byte) (change.value ? next[bit >> 3] | mask(bit) : next[bit >> 3] & ~mask(bit));
                }
                from = Math.min(from, change.first >> 3);
                last = Math.max(last, (change.first + change.count - 1) >> 3);
            }
            bytes = next;
            IoBuffer part = IoBuffer.allocate(last - from + 1);
            part.copyFrom(next, from, 0, part.capacity());
            buffer = part;
            file.write(bitmap + from, part, 0, part.capacity(), 0, this);
        }

        @Override
        public void complete(@Nullable BlockError error) {
            // The kernel reads from it until here.
            int written = Objects.requireNonNull(buffer).capacity();
            buffer = null;
            if (error == null) {
                System.arraycopy(bytes, from, table(), from, written);
            }
            List<Change> ended = underWay;
            underWay = List.of();
            if (coming.isEmpty()) {
                updates.remove(bitmap);
            } else {
                write();
            }
            for (Change change : ended) {
                change.whenWritten.complete(error);
            }
        }
    }
}
