package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The end of a request for zeroes on a disk whose room is reserved. A file system that is full may have no room for the note that a
 * range of a file is zero now, or may free the range and not find it again at once; the zeroes are written then, since a disk that has
 * all its room fails no guest for want of it.
 *
 * <p>Thread: the disk's loop. One piece is in flight at a time.
 */
public final class KeptZeroes implements Completion {
    private static final int PIECE_BYTES = 1 << 20;

    private final BlockDevice disk;
    private final long end;
    private final int flags;
    private final Completion completion;
    private long at;
    private @Nullable IoBuffer zeroes;

    /**
     * @param disk where the zeroes are written, in whole blocks of it
     * @param flags of those writes
     */
    public KeptZeroes(BlockDevice disk, long offset, long length, int flags, Completion completion) {
        this.disk = disk;
        this.at = offset;
        this.end = offset + length;
        this.flags = flags;
        this.completion = completion;
    }

    @Override
    public void complete(@Nullable BlockError error) {
        IoBuffer piece = zeroes;
        boolean full = piece == null && error != null && error.kind() == ErrorKind.NO_SPACE;
        if (!full && (piece == null || error != null || at == end)) {
            completion.complete(error);
            return;
        }
        int most = Math.min(PIECE_BYTES, disk.geometry().maxTransferBytes());
        if (piece == null) {
            piece = IoBuffer.allocate((int) Math.min(most, end - at));
            zeroes = piece;
        }
        int length = (int) Math.min(piece.capacity(), end - at);
        long from = at;
        at += length;
        disk.write(from, piece, 0, length, flags, this);
    }
}
