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
 * elsewhere and waits. Several transfers, each on a loop of its own, can share one disk ({@link Portions}, {@link Transfers}). Used
 * once.
 */
public final class Transfer {
    private static final int PIECE_BYTES = 256 << 10;

    /** Of what the kernel sends by itself: no memory is needed for it, and fewer requests are less work. */
    private static final int FILE_PIECE_BYTES = 1 << 20;

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
    private final Portions portions;
    private final boolean flushes;
    private final int filePieceBytes;
    private final int pieceBytes;
    private final CompletableFuture<Boolean> done = new CompletableFuture<>();
    private final ArrayDeque<Piece> idle = new ArrayDeque<>();
    private final ArrayDeque<Extent> extents = new ArrayDeque<>();

    private long countedBytes;
    private long mappedTo;
    private long portionEnd;
    private int inFlight;
    private boolean mapping;
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
        this(loop, source, target, targetIsZero, false, Portions.whole(source), true);
    }

    /** One of several that share {@code portions}. It does not flush: whoever has them all run does so when all have ended. */
    public static Transfer sharing(
            Portions portions, Loop loop, BlockDevice source, BlockDevice target, boolean targetIsZero) {
        return new Transfer(loop, source, target, targetIsZero, false, portions, false);
    }

    /** Of layers of a chain to the one below them: what they do not hold stays there as it is. */
    public static Transfer ofLayers(Loop loop, BlockDevice layers, BlockDevice base) {
        return new Transfer(loop, layers, base, false, true, Portions.whole(layers), true);
    }

    private Transfer(
            Loop loop,
            BlockDevice source,
            BlockDevice target,
            boolean targetIsZero,
            boolean layer,
            Portions portions,
            boolean flushes) {
        this.portions = portions;
        this.flushes = flushes;
        this.layer = layer;
        this.loop = loop;
        this.source = source;
        this.target = target;
        this.targetIsZero = targetIsZero;
        this.byFile = target.writesFiles();
        int mostBytes =
                Math.min(source.geometry().maxTransferBytes(), target.geometry().maxTransferBytes());
        this.pieceBytes = Math.min(PIECE_BYTES, mostBytes);
        this.filePieceBytes = Math.min(FILE_PIECE_BYTES, mostBytes);
        for (int i = 0; i < PIECES_IN_FLIGHT; i++) {
            idle.add(new Piece());
        }
    }

    /** Copies, makes the target durable unless it shares the disk with others, and returns. Blocks. */
    public void run() throws BlockException {
        OnLoop.join(begin());
    }

    /** Has it begin, and returns; what comes of it is in the future. Once, by one that has others run beside it. */
    CompletableFuture<Boolean> begin() throws BlockException {
        OnLoop.run(loop, this::pump);
        return done;
    }

    /** Closes both devices, when it has ended. Blocks. */
    public void close() throws BlockException {
        OnLoop.await(loop, target::close);
        OnLoop.await(loop, source::close);
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
            failure = calledOff();
        }
        if (failure != null) {
            if (inFlight == 0) {
                done.completeExceptionally(failure.toException());
            }
            return;
        }
        // A request may fail before it returns: then nothing follows, least of all the end.
        while (failure == null && !idle.isEmpty() && !extents.isEmpty()) {
            next(extents.getFirst());
        }
        if (failure == null && extents.isEmpty() && !mapping && !flushing) {
            if (mappedTo < portionEnd || nextPortion()) {
                map();
            } else if (inFlight == 0) {
                end();
            }
        }
    }

    private static BlockError calledOff() {
        return BlockError.of(ErrorKind.CANCELLED, "copy", "copy", "called off");
    }

    private boolean nextPortion() {
        long at = portions.take();
        if (at < 0) {
            return false;
        }
        mappedTo = at;
        portionEnd = portions.endOf(at);
        return true;
    }

    private void end() {
        flushing = true;
        if (flushes) {
            inFlight++;
            target.flush(this::flushed);
        } else {
            done.complete(true);
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
        long length = Math.min(WINDOW_BYTES, portionEnd - offset);
        inFlight++;
        mapping = true;
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
        mapping = false;
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
        long offset = extent.offset;
        long length = Math.min(extent.length, extent.zero ? ZERO_BYTES_MAX : pieceBytes);
        boolean sent = false;
        if (byFile && !extent.zero) {
            long more = Math.min(extent.length, filePieceBytes);
            if (located(offset, (int) more)) {
                length = more;
                sent = true;
            } else {
                sent = located(offset, (int) length);
            }
        }
        extent.offset += length;
        extent.length -= length;
        if (extent.length == 0) {
            extents.removeFirst();
        }
        if (extent.zero && targetIsZero) {
            count(length);
            return;
        }
        inFlight++;
        Piece piece = idle.removeFirst();
        if (sent) {
            piece.send(offset, (int) length);
        } else {
            piece.start(offset, length, extent.zero);
        }
    }

    private void count(long bytes) {
        countedBytes += bytes;
        doneBytes = countedBytes;
    }

    /** Finds what the kernel can send by itself, and nothing in which had better stay a hole. */
    private boolean located(long offset, int length) {
        return source.locate(offset, length, range)
                && !FileProbe.showsZeroes(range.descriptor(), range.position(), length, scratch.address());
    }

    /** A part of the copy under way, and the memory for it. */
    private final class Piece {
        private @Nullable IoBuffer memory;
        private final Completion read = this::read;
        private final Completion written = this::written;
        private long offset;
        private long length;

        /** What is sent by the kernel needs none, and what is short not all of it: it is made when it is needed. */
        private IoBuffer buffer() {
            IoBuffer present = memory;
            if (present == null) {
                present = IoBuffer.allocate(pieceBytes);
                memory = present;
            }
            return present;
        }

        /** Has the kernel send what {@link #located} has just found. */
        void send(long fromOffset, int fromLength) {
            offset = fromOffset;
            length = fromLength;
            target.writeFile(offset, range, fromLength, 0, written);
        }

        void start(long fromOffset, long fromLength, boolean zero) {
            offset = fromOffset;
            length = fromLength;
            if (zero) {
                target.writeZeroes(offset, length, 0, written);
            } else {
                source.read(offset, buffer(), 0, (int) length, read);
            }
        }

        private void read(@Nullable BlockError error) {
            if (error != null) {
                written(error);
            } else if (stopped) {
                written(calledOff());
            } else if (!buffer().isZero(0, (int) length)) {
                target.write(offset, buffer(), 0, (int) length, 0, written);
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
