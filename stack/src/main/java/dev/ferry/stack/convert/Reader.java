package dev.ferry.stack.convert;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.image.ClusterPacker;
import dev.ferry.stack.DiskLoop;
import org.jspecify.annotations.Nullable;

/**
 * A loop's share in a conversion. The loop serves nobody else, so everything is done on it, at once, while what was read is in its
 * processor's cache. Thread: its loop, except where said.
 */
final class Reader {
    private final Conversion conversion;
    private final DiskLoop loop;
    private final BlockDevice source;
    private final @Nullable ClusterPacker packer;
    private boolean pumping;

    /** @param source open on this loop */
    Reader(Conversion conversion, DiskLoop loop, BlockDevice source, @Nullable ClusterPacker packer) {
        this.conversion = conversion;
        this.loop = loop;
        this.source = source;
        this.packer = packer;
    }

    /** Has it look for something to do. Any thread. */
    void wake() {
        loop.loop().execute(this::pump);
    }

    /** A read that ends at once has been dealt with when it returns; then it goes round, not down. */
    private void pump() {
        if (pumping) {
            return;
        }
        pumping = true;
        Piece piece = conversion.take(this);
        while (piece != null) {
            piece.takenBy(this);
            source.read(piece.offset, piece.buffer(), 0, piece.length, piece.read);
            piece = conversion.take(this);
        }
        pumping = false;
    }

    void read(Piece piece, @Nullable BlockError error) {
        Throwable failed = error == null ? packed(piece) : error.toException();
        if (failed == null) {
            conversion.packed(piece);
        } else {
            conversion.end(piece, failed);
        }
        pump();
    }

    private @Nullable Throwable packed(Piece piece) {
        try {
            piece.pack(packer);
            return null;
        } catch (RuntimeException | Error failed) {
            return failed;
        }
    }

    /** The control plane, when nothing is under way. */
    void close() {
        if (packer != null) {
            packer.close();
        }
    }
}
