package dev.ferry.filter;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Any offset and any length above a device that takes whole blocks. What is in whole blocks passes untouched; the rest is
 * read, changed and written, piece by piece.
 *
 * <p>Two changes in flight that share a block would undo each other: a {@link Gate} above, whose granularity is at least
 * the block, keeps them apart. Thread: the loop's.
 */
public final class Aligner extends FilterDevice {
    private static final int PIECE_BYTES = 1 << 20;

    private final BufferPool buffers;
    private final Geometry below;
    private final Geometry geometry;
    private final long mask;
    private @Nullable Request free;
    private @Nullable Request firstWaiting;
    private @Nullable Request lastWaiting;
    private int working;

    /** @param buffers the pool of the disk's loop */
    public Aligner(BlockDevice next, BufferPool buffers) {
        super(next);
        this.buffers = buffers;
        this.below = next.geometry();
        this.mask = below.blockSizeBytes() - 1L;
        this.geometry = new Geometry(below.sizeBytes(), 1, below.preferredBytes(), below.maxTransferBytes());
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    private boolean whole(long offset, long length) {
        return (offset & mask) == 0 && ((length & mask) == 0 || offset + length == below.sizeBytes());
    }

    private long blockEnd(long position) {
        return Math.min(below.sizeBytes(), (position + mask) & ~mask);
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (whole(offset, length)) {
            next.read(offset, buffer, at, length, completion);
        } else {
            request(Request.READ, offset, length, buffer, at, 0, completion);
        }
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        if (whole(offset, length)) {
            next.write(offset, buffer, at, length, flags, completion);
        } else {
            request(Request.WRITE, offset, length, buffer, at, flags, completion);
        }
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        if (whole(offset, length)) {
            next.writeZeroes(offset, length, flags, completion);
        } else if ((flags & RequestFlags.FAST_ZERO) != 0) {
            completion.complete(BlockError.of(
                    ErrorKind.UNSUPPORTED, "aligner", "zero", offset, length, "no fast zeroes for parts of blocks"));
        } else {
            request(Request.ZERO, offset, length, null, 0, flags, completion);
        }
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        if (whole(offset, length)) {
            next.discard(offset, length, flags, completion);
        } else {
            request(Request.DISCARD, offset, length, null, 0, flags, completion);
        }
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        long from = offset & ~mask;
        long end = offset + length;
        if (from == offset && whole(offset, length)) {
            next.extents(offset, length, sink, completion);
            return;
        }
        next.extents(from, blockEnd(end) - from, clipped(offset, end, sink), completion);
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        long from = offset & ~mask;
        long end = offset + length;
        next.ownExtents(from, blockEnd(end) - from, clipped(offset, end, sink), completion);
    }

    private static ExtentSink clipped(long offset, long end, ExtentSink sink) {
        return (extentFrom, extentLength, state) -> {
            long clippedFrom = Math.max(offset, extentFrom);
            long clippedEnd = Math.min(end, extentFrom + extentLength);
            if (clippedFrom < clippedEnd) {
                sink.extent(clippedFrom, clippedEnd - clippedFrom, state);
            }
        };
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return whole(offset, length) && next.locate(offset, length, range);
    }

    @Override
    public BlockDevice store() {
        return next.store();
    }

    @Override
    public int offloadUnitBytes(BlockDevice source) {
        return next.offloadUnitBytes(source);
    }

    /** In units of the store, which are whole blocks. */
    @Override
    public void copyFrom(BlockDevice source, long offset, long length, Completion completion) {
        next.copyFrom(source, offset, length, completion);
    }

    @Override
    public long lengthBytes() {
        return next.lengthBytes();
    }

    @Override
    public void resize(long lengthBytes, Completion completion) {
        next.resize(lengthBytes, completion);
    }

    private void request(
            int kind, long offset, long length, @Nullable IoBuffer buffer, int at, int flags, Completion completion) {
        Request request = free;
        if (request == null) {
            request = new Request();
        } else {
            free = request.nextRequest;
            request.nextRequest = null;
        }
        request.kind = kind;
        request.position = offset;
        request.end = offset + length;
        request.buffer = buffer;
        request.at = at;
        request.flags = flags;
        request.completion = completion;
        request.error = null;
        request.pieceRead = false;
        request.pieceEnd = offset;
        start(request);
    }

    private void start(Request request) {
        request.bounce = buffers.take(PIECE_BYTES);
        if (request.bounce != null) {
            working++;
            request.advance();
        } else if (working > 0) {
            Request before = lastWaiting;
            if (before == null) {
                firstWaiting = request;
            } else {
                before.nextRequest = request;
            }
            lastWaiting = request;
        } else {
            Completion completion = Objects.requireNonNull(request.completion);
            completion.complete(BlockError.of(ErrorKind.NO_MEMORY, "aligner", "request", "no buffer is free"));
        }
    }

    private void ended(Request request) {
        working--;
        Objects.requireNonNull(request.bounce).release();
        Completion completion = Objects.requireNonNull(request.completion);
        BlockError error = request.error;
        request.bounce = null;
        request.buffer = null;
        request.completion = null;
        request.nextRequest = free;
        free = request;
        completion.complete(error);
        Request waiting = firstWaiting;
        if (waiting != null) {
            firstWaiting = waiting.nextRequest;
            if (firstWaiting == null) {
                lastWaiting = null;
            }
            waiting.nextRequest = null;
            start(waiting);
        }
    }

    /** One request, dealt with in pieces of blocks through a buffer of our own. Used again. */
    private final class Request implements Completion {
        static final int READ = 0;
        static final int WRITE = 1;
        static final int ZERO = 2;
        static final int DISCARD = 3;

        private @Nullable Request nextRequest;
        private int kind;
        private long position;
        private long end;
        private @Nullable IoBuffer buffer;
        private int at;
        private int flags;
        private @Nullable Completion completion;
        private @Nullable IoBuffer bounce;
        private @Nullable BlockError error;
        private long pieceEnd;
        private boolean pieceRead;
        private boolean advancing;
        private boolean again;

        @Override
        public void complete(@Nullable BlockError requestError) {
            error = requestError;
            advance();
        }

        void advance() {
            again = true;
            if (advancing) {
                return;
            }
            advancing = true;
            boolean done = false;
            while (again) {
                again = false;
                done = step();
            }
            advancing = false;
            if (done) {
                ended(this);
            }
        }

        /** @return true if there is nothing left to do */
        private boolean step() {
            if (error != null) {
                return true;
            }
            if (pieceRead) {
                pieceRead = false;
                apply();
                return false;
            }
            position = pieceEnd;
            if (position == end) {
                return true;
            }
            long wholeEnd = end == below.sizeBytes() ? end : end & ~mask;
            boolean zeroes = kind == ZERO || kind == DISCARD;
            if (zeroes && (position & mask) == 0 && position < wholeEnd) {
                pieceEnd = wholeEnd;
                zeroWhole();
                return false;
            }
            long from = position & ~mask;
            pieceEnd = Math.min(end, zeroes ? blockEnd(position + 1) : from + PIECE_BYTES);
            pieceRead = true;
            next.read(from, bounce(), 0, (int) (blockEnd(pieceEnd) - from), this);
            return false;
        }

        private void zeroWhole() {
            if (kind == ZERO) {
                next.writeZeroes(position, pieceEnd - position, flags, this);
            } else {
                next.discard(position, pieceEnd - position, flags, this);
            }
        }

        private void apply() {
            long from = position & ~mask;
            int into = (int) (position - from);
            int length = (int) (pieceEnd - position);
            if (kind == READ) {
                Objects.requireNonNull(buffer).copyFrom(bounce(), into, at, length);
                at += length;
                again = true;
                return;
            }
            if (kind == WRITE) {
                bounce().copyFrom(Objects.requireNonNull(buffer), at, into, length);
                at += length;
            } else {
                bounce().zero(into, length);
            }
            next.write(from, bounce(), 0, (int) (blockEnd(pieceEnd) - from), flags & RequestFlags.FUA, this);
        }

        private IoBuffer bounce() {
            return Objects.requireNonNull(bounce);
        }
    }
}
