package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import org.jspecify.annotations.Nullable;

/**
 * Brings the file of a new disk, all hole, into the state that its {@link Provisioning} promises, and flushes it: thin
 * leaves it so, lazy reserves its room piece by piece, eager writes zeroes to all of it. Where nothing can be reserved,
 * since the file system cannot, lazy writes zeroes too: the room is there in any case, or it fails.
 *
 * <p>Thread: the disk's loop; between two pieces the loop gets its turn, so that other disks on it do not wait. One
 * request at a time is in flight. Used once.
 */
public final class Provisioner implements Completion {
    private static final int EAGER_PIECE_BYTES = 4 << 20;
    private static final long LAZY_PIECE_BYTES = 128L << 20;

    private final Loop loop;
    private final BlockDevice file;
    private final Provisioning provisioning;
    private final Completion whenDone;
    private final long sizeBytes;
    private @Nullable IoBuffer zeroes;
    private long done;
    private boolean reserves;
    private boolean flushing;
    private volatile boolean stopped;
    private volatile long doneBytes;

    /** @param file the checked device below the image */
    public Provisioner(Loop loop, BlockDevice file, Provisioning provisioning, Completion whenDone) {
        this.loop = loop;
        this.file = file;
        this.provisioning = provisioning;
        this.whenDone = whenDone;
        this.sizeBytes = provisioning == Provisioning.THIN ? 0 : file.geometry().sizeBytes();
        this.reserves = provisioning == Provisioning.LAZY;
    }

    public void start() {
        step();
    }

    /** Ends it after the piece at hand, as if it had failed with {@code CANCELLED}. Any thread may call this. */
    public void stop() {
        stopped = true;
    }

    /** Bytes reserved or written so far. Any thread may call this. */
    public long doneBytes() {
        return doneBytes;
    }

    private void step() {
        if (stopped) {
            whenDone.complete(
                    BlockError.of(ErrorKind.CANCELLED, provisioning.text() + " disk", "provision", "called off"));
        } else if (done == sizeBytes) {
            flushing = true;
            file.flush(this);
        } else if (reserves) {
            long length = Math.min(LAZY_PIECE_BYTES, sizeBytes - done);
            long from = done;
            done += length;
            file.writeZeroes(from, length, RequestFlags.NO_HOLE, this);
        } else {
            writePiece();
        }
    }

    private void writePiece() {
        IoBuffer piece = zeroes;
        if (piece == null) {
            piece = IoBuffer.allocate(EAGER_PIECE_BYTES);
            zeroes = piece;
        }
        int most = Math.min(EAGER_PIECE_BYTES, file.geometry().maxTransferBytes());
        int length = (int) Math.min(most, sizeBytes - done);
        long from = done;
        done += length;
        file.write(from, piece, 0, length, 0, this);
    }

    @Override
    public void complete(@Nullable BlockError error) {
        if (error != null && reserves && !flushing && error.kind() == ErrorKind.UNSUPPORTED) {
            reserves = false;
            done = doneBytes;
            loop.execute(this::step);
            return;
        }
        if (error != null || flushing) {
            whenDone.complete(error);
            return;
        }
        doneBytes = done;
        loop.execute(this::step);
    }
}
