package dev.ferry.stack.convert;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.device.PlainFile;
import dev.ferry.image.ClusterPacker;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageWriter;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OnLoop;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Makes an image of a disk that nobody changes meanwhile in one pass. What is known to be zeroes is not read.
 *
 * <p>Clusters get their places in the file in the order of the disk, whoever is done with them first, so that one disk
 * makes one file on any number of cores.
 *
 * <p>Thread: {@link #run} belongs to the control plane and blocks; what is shared with the loops is guarded by this object. Used
 * once.
 */
public final class Conversion {
    private static final int PIECE_BYTES_MIN = 512 << 10;
    private static final int PIECES_PER_LOOP = 4;
    private static final long WINDOW_BYTES = 8L << 30;
    private static final int RANGES_MAX = 4096;

    private final PlainFile file;
    private final ImageWriter writer;
    private final long sizeBytes;
    private final int clusterBytes;
    private final int pieceBytes;

    private final ArrayDeque<Range> ranges = new ArrayDeque<>();
    private final ArrayDeque<Piece> idle = new ArrayDeque<>();
    /** Readers that have found nothing to do. */
    private final Set<Reader> waiting = new LinkedHashSet<>();
    /** Pieces that have no place yet, as one before them has none. */
    private final PriorityQueue<Piece> packed = new PriorityQueue<>(Comparator.comparingLong(piece -> piece.number));

    private long rangesEnd;
    private long taken;
    private long placed;
    private long ended;
    /** Clusters that the writer knows of. */
    private long clusters;

    private @Nullable Throwable failure;

    /** What of the source is to be read. */
    private static final class Range {
        private long from;
        private final long to;

        Range(long from, long to) {
            this.from = from;
            this.to = to;
        }
    }

    /** Opens the source on a loop. */
    @FunctionalInterface
    public interface Source {
        BlockDevice open(DiskLoop loop) throws BlockException;
    }

    /** Begins an image in a file, of a disk of so many bytes. */
    @FunctionalInterface
    public interface Format {
        ImageWriter begin(FileBytes file, long sizeBytes) throws BlockException;
    }

    private Conversion(PlainFile file, ImageWriter writer, long sizeBytes) {
        this.file = file;
        this.writer = writer;
        this.sizeBytes = sizeBytes;
        this.clusterBytes = writer.clusterBytes();
        this.pieceBytes = Math.max(clusterBytes, PIECE_BYTES_MIN);
    }

    /**
     * Makes the image in a file that holds nothing of worth.
     *
     * @param loops that serve nobody else meanwhile
     * @param source is opened on each of them, and closed
     */
    public static void run(List<DiskLoop> loops, Source source, DiskSpec target, Format format) throws BlockException {
        List<BlockDevice> sources = new ArrayList<>();
        try (PlainFile file = PlainFile.open(target.path(), target.shownAs())) {
            for (DiskLoop loop : loops) {
                sources.add(source.open(loop));
            }
            long sizeBytes = sources.getFirst().geometry().sizeBytes();
            ImageWriter writer = format.begin(new WriterBytes(file), sizeBytes);
            new Conversion(file, writer, sizeBytes).run(loops, sources);
        } finally {
            for (int i = 0; i < sources.size(); i++) {
                OnLoop.await(loops.get(i).loop(), sources.get(i)::close);
            }
        }
    }

    // ---- the control plane

    private void run(List<DiskLoop> loops, List<BlockDevice> sources) throws BlockException {
        List<Reader> readers = new ArrayList<>();
        for (int i = 0; i < loops.size(); i++) {
            ClusterPacker packer = writer.packer();
            readers.add(new Reader(this, loops.get(i), sources.get(i), packer));
            for (int k = 0; k < PIECES_PER_LOOP; k++) {
                idle.add(new Piece(writer, pieceBytes, packer != null));
            }
        }
        waiting.addAll(readers);
        try {
            for (long at = 0; at < sizeBytes && roomForRanges(); ) {
                at = find(loops.getFirst(), sources.getFirst(), at);
            }
            awaitEnd();
        } finally {
            readers.forEach(Reader::close);
        }
        writer.zeroes((sizeBytes + clusterBytes - 1) / clusterBytes - clusters);
        writer.finish();
    }

    /** Finds what is data from there on; gives how far it has looked. */
    private long find(DiskLoop loop, BlockDevice source, long at) throws BlockException {
        List<Range> found = new ArrayList<>();
        long length = Math.min(WINDOW_BYTES, sizeBytes - at);
        long[] reached = {at};
        ExtentSink sink = (offset, bytes, state) -> {
            if ((state & ExtentSink.ZERO) == 0) {
                found.add(new Range(offset, offset + bytes));
            }
            reached[0] = offset + bytes;
        };
        OnLoop.await(loop.loop(), done -> source.extents(at, length, sink, done));
        add(found);
        return reached[0];
    }

    /** Whole clusters, each of them once. */
    private synchronized void add(List<Range> found) {
        for (Range range : found) {
            long from = Math.max(range.from / clusterBytes * clusterBytes, rangesEnd);
            long to = Math.min(sizeBytes, (range.to + clusterBytes - 1) / clusterBytes * clusterBytes);
            if (from < to) {
                ranges.add(new Range(from, to));
                rangesEnd = to;
            }
        }
        wakeReaders();
    }

    /** Waits until few are left to be read; false if it has failed. */
    private synchronized boolean roomForRanges() {
        await(() -> failure != null || ranges.size() < RANGES_MAX);
        return failure == null;
    }

    private synchronized void awaitEnd() throws BlockException {
        await(() -> ended == taken && (failure != null || ranges.isEmpty()));
        Throwable failed = failure;
        if (failed instanceof BlockException said) {
            throw said;
        }
        if (failed != null) {
            throw new IllegalStateException("a conversion failed", failed);
        }
    }

    /** Called with the lock held. Who interrupts calls it off. */
    private void await(BooleanSupplier end) {
        boolean interrupted = false;
        while (!end.getAsBoolean()) {
            try {
                wait();
            } catch (InterruptedException stopped) {
                interrupted = true;
                fail(BlockError.of(ErrorKind.CANCELLED, file.toString(), "convert", "interrupted")
                        .toException());
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    // ---- the readers, on their loops

    /** The next piece of the disk; null if there is none for now, and the reader is told when there is. */
    synchronized @Nullable Piece take(Reader reader) {
        Range range = ranges.peek();
        if (failure != null || range == null || idle.isEmpty()) {
            waiting.add(reader);
            return null;
        }
        Piece piece = idle.pop();
        int length = (int) Math.min(pieceBytes, range.to - range.from);
        piece.begin(taken++, range.from, length);
        range.from += length;
        if (range.from == range.to) {
            ranges.remove();
            notifyAll();
        }
        return piece;
    }

    /** Writes a piece that was read and packed, and those that have waited for it; or leaves it to those that it waits for. */
    void packed(Piece piece) {
        for (Piece ready : placeWhatCanBe(piece)) {
            try {
                if (!hasFailed()) {
                    ready.write(file);
                }
                end(ready, null);
            } catch (BlockException | RuntimeException | Error failed) {
                end(ready, failed);
            }
        }
    }

    private synchronized List<Piece> placeWhatCanBe(Piece piece) {
        List<Piece> ready = new ArrayList<>();
        packed.add(piece);
        for (Piece first = packed.peek();
                failure == null && first != null && first.number == placed;
                first = packed.peek()) {
            packed.remove();
            placed++;
            ready.add(first);
            try {
                writer.zeroes(first.offset / clusterBytes - clusters);
                first.place(writer);
                clusters = first.offset / clusterBytes + first.clusters();
            } catch (BlockException | RuntimeException | Error failed) {
                fail(failed);
            }
        }
        if (failure != null) {
            ready.addAll(packed);
            packed.clear();
        }
        return ready;
    }

    private synchronized boolean hasFailed() {
        return failure != null;
    }

    /** A piece has gone all its way, or no further. */
    synchronized void end(Piece piece, @Nullable Throwable failed) {
        if (failed != null) {
            fail(failed);
        }
        ended++;
        idle.push(piece);
        wakeReaders();
        notifyAll();
    }

    /** Called with the lock held. What waits for its place will not get one. */
    private void fail(Throwable why) {
        if (failure == null) {
            failure = why;
        }
        ended += packed.size();
        packed.clear();
        notifyAll();
    }

    /** Called with the lock held. */
    private void wakeReaders() {
        if (!ranges.isEmpty() && !idle.isEmpty()) {
            waiting.forEach(Reader::wake);
            waiting.clear();
        }
    }
}
