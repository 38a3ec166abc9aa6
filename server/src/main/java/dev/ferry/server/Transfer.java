package dev.ferry.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.reactor.FileProbe;
import dev.ferry.stack.OnLoop;
import java.util.ArrayDeque;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * Copies all of one device to another, neither of which anybody changes meanwhile: for import and one-shot copies. What
 * reads as zeroes on the source is not written to a target that is all zeroes already, and becomes zeroes by request on
 * one that is not; so thin stays thin. Where the source lies in a file whose pages are in memory, and the target takes
 * files, the kernel sends them by itself.
 *
 * <p>Several pieces are in flight at once. They belong to the loop, as both devices do; {@link #run} is called from
 * elsewhere and waits. Used once.
 */
public final class Transfer {
    private static final int PIECE_BYTES = 256 << 10;
    private static final int PIECES_IN_FLIGHT = 32;
    private static final long WINDOW_BYTES = 256L << 20;
    private static final long ZERO_BYTES_MAX = 1L << 30;

    private final Loop loop;
    private final BlockDevice source;
    private final BlockDevice target;
    private final boolean targetIsZero;
    private final boolean layer;
    private final boolean byFile;
    private final FileRange range = new FileRange();
    private final IoBuffer scratch = IoBuffer.allocate(FileProbe.BYTES);
    private final long sizeBytes;
    private final int pieceBytes;
    private final CompletableFuture<Boolean> done = new CompletableFuture<>();
    private final ArrayDeque<Piece> idle = new ArrayDeque<>();
    private final ArrayDeque<Extent> extents = new ArrayDeque<>();

    private long countedBytes;
    private long mappedTo;
    private int inFlight;
    private boolean flushing;
    private boolean pumping;
    private boolean pumpAgain;
    private @Nullable BlockError failure;
    private volatile boolean stopped;
    private volatile long doneBytes;

    private static final class Extent {
        long offset;
        long length;
        final boolean zero;

        Extent(long offset, long length, boolean zero) {
            this.offset = offset;
            this.length = length;
            this.zero = zero;
        }
    }

    /**
     * @param target at least as long as the source
     * @param targetIsZero the target reads as zeroes everywhere
     */
    public Transfer(Loop loop, BlockDevice source, BlockDevice target, boolean targetIsZero) {
        this(loop, source, target, targetIsZero, false);
    }

    /** Of layers of a chain to the one below them: what they do not hold stays there as it is. */
    public static Transfer ofLayers(Loop loop, BlockDevice layers, BlockDevice base) {
        return new Transfer(loop, layers, base, false, true);
    }

    private Transfer(Loop loop, BlockDevice source, BlockDevice target, boolean targetIsZero, boolean layer) {
        this.layer = layer;
        this.loop = loop;
        this.source = source;
        this.target = target;
        this.targetIsZero = targetIsZero;
        this.byFile = target.writesFiles();
        this.sizeBytes = source.geometry().sizeBytes();
        this.pieceBytes = Math.min(
                PIECE_BYTES,
                Math.min(source.geometry().maxTransferBytes(), target.geometry().maxTransferBytes()));
        for (int i = 0; i < PIECES_IN_FLIGHT; i++) {
            idle.add(new Piece(IoBuffer.allocate(pieceBytes)));
        }
    }

    /** Copies, makes the target durable, and returns. Blocks. */
    public void run() throws BlockException {
        OnLoop.run(loop, this::pump);
        OnLoop.join(done);
    }

    /** Has {@link #run} end soon, with {@link ErrorKind#CANCELLED}. Any thread. */
    public void stop() {
        stopped = true;
    }

    /** Bytes of the source that are dealt with. Any thread. */
    public long doneBytes() {
        return doneBytes;
    }

    /** Does what can be done now. A request that ends at once calls this again; it then goes round, not down. */
    private void pump() {
        if (pumping) {
            pumpAgain = true;
            return;
        }
        pumping = true;
        do {
            pumpAgain = false;
            advance();
        } while (pumpAgain);
        pumping = false;
    }

    private void advance() {
        if (stopped && failure == null) {
            failure = BlockError.of(ErrorKind.CANCELLED, "copy", "copy", "called off");
        }
        if (failure != null) {
            if (inFlight == 0) {
                done.completeExceptionally(failure.toException());
            }
            return;
        }
        while (!idle.isEmpty() && !extents.isEmpty()) {
            next(extents.getFirst());
        }
        if (extents.isEmpty() && inFlight == 0) {
            if (mappedTo < sizeBytes) {
                map();
            } else if (!flushing) {
                flushing = true;
                inFlight++;
                target.flush(this::flushed);
            }
        }
    }

    private void flushed(@Nullable BlockError error) {
        inFlight--;
        if (error == null) {
            done.complete(true);
        } else {
            failure = error;
            pump();
        }
    }

    private void map() {
        long offset = mappedTo;
        long length = Math.min(WINDOW_BYTES, sizeBytes - offset);
        inFlight++;
        if (!source.capabilities().extents()) {
            mapped(null, offset, length);
            return;
        }
        ExtentSink sink = (at, bytes, flags) -> {
            if (layer && flags == ExtentSink.HOLE) {
                count(bytes);
            } else {
                extents.add(new Extent(at, bytes, (flags & ExtentSink.ZERO) != 0));
            }
            mappedTo = at + bytes;
        };
        source.extents(offset, length, sink, error -> mapped(error, offset, length));
    }

    private void mapped(@Nullable BlockError error, long offset, long length) {
        inFlight--;
        // Not being able to tell holes from data is no reason not to copy, but where it is to be told whose they are.
        if (layer && error != null) {
            failure = error;
        } else if (error != null || mappedTo == offset) {
            extents.clear();
            extents.add(new Extent(offset, length, false));
            mappedTo = offset + length;
        }
        pump();
    }

    private void next(Extent extent) {
        long length = extent.zero ? Math.min(extent.length, ZERO_BYTES_MAX) : Math.min(extent.length, pieceBytes);
        long offset = extent.offset;
        extent.offset += length;
        extent.length -= length;
        if (extent.length == 0) {
            extents.removeFirst();
        }
        if (extent.zero && targetIsZero) {
            count(length);
        } else {
            inFlight++;
            idle.removeFirst().start(offset, length, extent.zero);
        }
    }

    private void count(long bytes) {
        countedBytes += bytes;
        doneBytes = countedBytes;
    }

    /** Finds what the kernel can send by itself, and nothing in which had better stay a hole. */
    private boolean located(long offset, int length) {
        return byFile
                && source.locate(offset, length, range)
                && !FileProbe.showsZeroes(range.descriptor(), range.position(), length, scratch.address());
    }

    /** A part of the copy under way, and the memory for it. */
    private final class Piece {
        private final IoBuffer buffer;
        private final Completion read = this::read;
        private final Completion written = this::written;
        private long offset;
        private long length;

        Piece(IoBuffer buffer) {
            this.buffer = buffer;
        }

        void start(long fromOffset, long fromLength, boolean zero) {
            offset = fromOffset;
            length = fromLength;
            if (zero) {
                target.writeZeroes(offset, length, 0, written);
            } else if (located(offset, (int) length)) {
                target.writeFile(offset, range, (int) length, 0, written);
            } else {
                source.read(offset, buffer, 0, (int) length, read);
            }
        }

        private void read(@Nullable BlockError error) {
            if (error != null || stopped) {
                written(error);
            } else if (!buffer.isZero(0, (int) length)) {
                target.write(offset, buffer, 0, (int) length, 0, written);
            } else if (targetIsZero) {
                written(null);
            } else {
                target.writeZeroes(offset, length, 0, written);
            }
        }

        private void written(@Nullable BlockError error) {
            if (error != null && failure == null) {
                failure = error;
            }
            count(length);
            inFlight--;
            idle.addFirst(this); // its memory is in the processor's cache still
            pump();
        }
    }
}
