package dev.ferry.server.bitmaps;

import dev.ferry.block.BlockException;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.nbd.server.MetadataContext;
import dev.ferry.stack.DirtyBitmapContext;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The bitmaps of a disk that clients may have, while they may. One at a time, but for {@link #contexts}: any thread.
 *
 * <p>The bitmaps are with the disk's tracker, above everything that a move changes: what a guest writes before, during and
 * after a move is marked alike.
 */
final class Recording {
    private final OpenDisk disk;
    private final List<KeptBitmap> bitmaps = new ArrayList<>();
    private volatile List<MetadataContext> contexts = List.of();

    Recording(OpenDisk disk) {
        this.disk = disk;
    }

    OpenDisk disk() {
        return disk;
    }

    List<KeptBitmap> bitmaps() {
        return List.copyOf(bitmaps);
    }

    /** What clients can ask of them now. */
    List<MetadataContext> contexts() {
        return contexts;
    }

    /** Begins to mark in one. */
    void add(KeptBitmap bitmap) throws BlockException {
        bitmaps.add(bitmap);
        @Nullable DirtyBitmap bits = bitmap.bits();
        if (bits != null) {
            OnLoop.run(disk.loop().loop(), () -> disk.tracker().add(bitmap.name(), bits));
        }
        tell();
    }

    /** Marks in it no more. */
    void remove(KeptBitmap bitmap) throws BlockException {
        if (bitmap.bits() != null) {
            OnLoop.run(disk.loop().loop(), () -> disk.tracker().remove(bitmap.name()));
        }
        bitmaps.remove(bitmap);
        tell();
    }

    /** Nothing is dirty, from now on; what was not known is known again. */
    void clear(KeptBitmap bitmap) throws BlockException {
        @Nullable DirtyBitmap bits = bitmap.bits();
        if (bits != null) {
            OnLoop.run(disk.loop().loop(), bits::clearAll);
            return;
        }
        int place = bitmaps.indexOf(bitmap);
        KeptBitmap cleared = bitmap.cleared();
        DirtyBitmap fresh = Objects.requireNonNull(cleared.bits());
        OnLoop.run(disk.loop().loop(), () -> disk.tracker().add(cleared.name(), fresh));
        bitmaps.set(place, cleared);
        tell();
    }

    long dirtyBytes(DirtyBitmap bits) throws BlockException {
        return OnLoop.get(disk.loop().loop(), bits::dirtyBytes);
    }

    /** Marks in none of them any more, and gives what they are. Nothing of a client is in flight. */
    List<KeptBitmap> end() throws BlockException {
        List<KeptBitmap> all = bitmaps();
        for (KeptBitmap bitmap : all) {
            remove(bitmap);
        }
        return all;
    }

    private void tell() {
        List<MetadataContext> told = new ArrayList<>();
        for (KeptBitmap bitmap : bitmaps) {
            if (bitmap.bits() != null) {
                told.add(new DirtyBitmapContext(bitmap.name(), bitmap.bits(), disk.tracker()));
            }
        }
        contexts = List.copyOf(told);
    }
}
