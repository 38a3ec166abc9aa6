package dev.ferry.image.sparse;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Puts what new grains of a delta are to hold into their place: what the request changes, and at both ends of it, as far as it
 * does not fill those grains, what shows through from below. It is durable when this ends, so that the map may say that it
 * lies there: a crash then shows what was below or what was written, and never anything else. Pooled; the disk's loop.
 */
final class CopyUp implements Completion {
    private enum Step {
        READ,
        WRITE,
        FLUSH
    }

    private final GrowingExtent extent;
    private @Nullable Completion whenDurable;
    private @Nullable IoBuffer ends;
    private @Nullable IoBuffer data;
    private Step step = Step.READ;
    private int dataAt;
    private int flags;
    private long place;
    private int headBytes;
    private long bodyBytes;
    private int tailBytes;

    CopyUp(GrowingExtent extent) {
        this.extent = extent;
    }

    /**
     * Begins.
     *
     * @param first of the grains
     * @param count how many there are, one behind the other
     * @param where their place in the file
     * @param from where on the disk what is changed begins, in the first of them
     * @param to where it ends, in the last of them
     * @param bytes what is written; null: zeroes
     * @param how flags of the request, where it writes zeroes
     */
    void begin(
            long first,
            int count,
            long where,
            long from,
            long to,
            @Nullable IoBuffer bytes,
            int bytesAt,
            int how,
            Completion completion) {
        long begin = first * extent.grainBytes;
        long end = Math.min(begin + (long) count * extent.grainBytes, extent.sizeBytes());
        place = where;
        headBytes = (int) (from - begin);
        bodyBytes = to - from;
        tailBytes = (int) (end - to);
        data = bytes;
        dataAt = bytesAt;
        flags = how & RequestFlags.NO_HOLE;
        whenDurable = completion;
        step = Step.READ;
        read(begin, to);
    }

    private void read(long headAt, long tailAt) {
        Pieces pieces = new Pieces(this);
        if (headBytes + tailBytes > 0) {
            IoBuffer buffer = room(headBytes + tailBytes);
            Below below = Objects.requireNonNull(extent.below);
            if (headBytes > 0) {
                below.read(headAt, buffer, 0, headBytes, pieces.more());
            }
            if (tailBytes > 0) {
                below.read(tailAt, buffer, headBytes, tailBytes, pieces.more());
            }
        }
        pieces.allSubmitted();
    }

    private IoBuffer room(int bytes) {
        IoBuffer has = ends;
        if (has == null || has.capacity() < bytes || has.retained()) {
            has = IoBuffer.allocate(bytes);
            ends = has;
        }
        return has;
    }

    private void write() {
        Pieces pieces = new Pieces(this);
        IoBuffer buffer = ends;
        if (buffer != null && headBytes > 0) {
            extent.file.write(place, buffer, 0, headBytes, 0, pieces.more());
        }
        if (buffer != null && tailBytes > 0) {
            extent.file.write(place + headBytes + bodyBytes, buffer, headBytes, tailBytes, 0, pieces.more());
        }
        IoBuffer bytes = data;
        if (bytes == null) {
            extent.file.writeZeroes(place + headBytes, bodyBytes, flags, pieces.more());
        } else {
            extent.file.write(place + headBytes, bytes, dataAt, (int) bodyBytes, 0, pieces.more());
        }
        pieces.allSubmitted();
    }

    @Override
    public void complete(@Nullable BlockError error) {
        if (error != null) {
            end(error);
            return;
        }
        switch (step) {
            case READ -> {
                step = Step.WRITE;
                write();
            }
            case WRITE -> {
                step = Step.FLUSH;
                extent.durable.await(this);
            }
            case FLUSH -> end(null);
        }
    }

    private void end(@Nullable BlockError error) {
        Completion ended = Objects.requireNonNull(whenDurable);
        whenDurable = null;
        data = null;
        extent.free(this);
        ended.complete(error);
    }
}
