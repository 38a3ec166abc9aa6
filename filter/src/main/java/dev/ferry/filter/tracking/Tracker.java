package dev.ferry.filter.tracking;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Marks what is changed, in any number of bitmaps, each with a name.
 *
 * <p>A change is marked <em>when it ends</em>, before its requester hears of it, and whether or not it succeeded: what a
 * failed change has left behind is not known. So whoever clears a block of a bitmap and reads the disk after that either
 * reads the change or finds the block dirty again; and a bitmap that is added while changes are in flight has them too. A
 * bitmap is the whole truth only while no change is in flight, as at a quiesced gate.
 *
 * <p>Thread: the loop's. In the steady state a change allocates nothing.
 */
public final class Tracker extends FilterDevice {
    private record Named(String name, DirtyBitmap bitmap) {}

    private final List<Named> bitmaps = new ArrayList<>();
    private @Nullable Marked free;

    public Tracker(BlockDevice next) {
        super(next);
    }

    /** The device below. */
    public BlockDevice next() {
        return next;
    }

    /** Begins to mark in a bitmap, made for a disk of this size; it may hold what was dirty before. */
    public void add(String name, DirtyBitmap bitmap) {
        Invariant.that(find(name) == null, "two bitmaps of one name");
        Invariant.that(bitmap.sizeBytes() == geometry().sizeBytes(), "bitmap of another disk");
        bitmaps.add(new Named(name, bitmap));
    }

    /** Marks in it no more. */
    public void remove(String name) {
        Invariant.that(bitmaps.removeIf(one -> one.name.equals(name)), "no bitmap of that name");
    }

    /** The bitmap of a name, or null. */
    public @Nullable DirtyBitmap find(String name) {
        for (int i = 0; i < bitmaps.size(); i++) {
            if (bitmaps.get(i).name.equals(name)) {
                return bitmaps.get(i).bitmap;
            }
        }
        return null;
    }

    /** In the order in which they were added. */
    public List<String> names() {
        return bitmaps.stream().map(Named::name).toList();
    }

    private void mark(long offset, long length) {
        for (int i = 0; i < bitmaps.size(); i++) {
            bitmaps.get(i).bitmap.set(offset, length);
        }
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        next.read(offset, buffer, at, length, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        next.write(offset, buffer, at, length, flags, marked(offset, length, completion));
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        next.writeZeroes(offset, length, flags, marked(offset, length, completion));
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        next.discard(offset, length, flags, marked(offset, length, completion));
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return next.locate(offset, length, range);
    }

    /** A change is followed though there is no bitmap yet: one may be added before it ends. */
    private Completion marked(long offset, long length, Completion completion) {
        Marked change = free;
        if (change == null) {
            change = new Marked();
        } else {
            free = change.nextFree;
            change.nextFree = null;
        }
        change.offset = offset;
        change.length = length;
        change.completion = completion;
        return change;
    }

    /** A change in flight. Used again. */
    private final class Marked implements Completion {
        private @Nullable Marked nextFree;
        private @Nullable Completion completion;
        private long offset;
        private long length;

        @Override
        public void complete(@Nullable BlockError error) {
            mark(offset, length);
            Completion ended = Objects.requireNonNull(completion);
            completion = null;
            nextFree = free;
            free = this;
            ended.complete(error);
        }
    }
}
