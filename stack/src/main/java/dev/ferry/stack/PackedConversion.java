package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.image.ClusterPacker;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageWriter;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;

/**
 * Makes an image of a disk that nobody changes meanwhile in one pass, by an {@link ImageWriter}. One thread reads and writes,
 * in the order of the disk; all cores compress. What is known to be zeroes is not read.
 *
 * <p>Thread: the control plane; {@link #run} blocks. Used once.
 */
public final class PackedConversion {
    private static final int PIECE_BYTES_MIN = 1 << 20;

    private final Loop loop;
    private final BlockDevice source;
    private final long sizeBytes;
    private final ImageWriter target;
    private final int clusterBytes;
    private final int pieceBytes;
    private final int packedBytes;
    private final int stepsMax;
    private final ArrayDeque<Step> inFlight = new ArrayDeque<>();
    private final ArrayDeque<Piece> idle = new ArrayDeque<>();
    private final Queue<ClusterPacker> packers = new ConcurrentLinkedQueue<>();
    private final IoBuffer buffer;
    private final byte[] zeroes;
    private long runEnd;
    private boolean runZero;

    private PackedConversion(Loop loop, BlockDevice source, ImageWriter target, int workers) {
        this.loop = loop;
        this.source = source;
        this.sizeBytes = source.geometry().sizeBytes();
        this.target = target;
        this.clusterBytes = target.clusterBytes();
        this.packedBytes = target.packedBytesMax();
        this.pieceBytes = Math.max(clusterBytes, PIECE_BYTES_MIN);
        this.stepsMax = 2 * workers + 1;
        this.buffer = IoBuffer.allocate(pieceBytes);
        this.zeroes = new byte[clusterBytes];
    }

    /** A stretch of the disk that is being compressed. */
    private final class Piece {
        private final byte[] plain = new byte[pieceBytes];
        private final byte[] packed = new byte[pieceBytes / clusterBytes * packedBytes];
        private final int[] lengths = new int[pieceBytes / clusterBytes];
        private int clusters;

        /** On a worker. */
        boolean pack() {
            ClusterPacker free = packers.poll();
            ClusterPacker packer = free == null ? target.packer() : free;
            for (int i = 0; i < clusters; i++) {
                int at = i * clusterBytes;
                boolean zero = Arrays.equals(plain, at, at + clusterBytes, zeroes, 0, clusterBytes);
                lengths[i] = zero ? 0 : packer.pack(plain, at, packed, i * packedBytes);
            }
            packers.add(packer);
            return true;
        }
    }

    /** What comes next on the disk: a piece, when it has been compressed, or clusters of zeroes. */
    private record Step(@Nullable Piece piece, Future<Boolean> done, long zeroClusters) {}

    /** Begins an image in a file. */
    @FunctionalInterface
    public interface Format {
        ImageWriter begin(FileBytes file) throws BlockException;
    }

    /** Makes the image in a file that holds nothing of worth; the source stays open. */
    public static void run(DiskLoop loop, BlockDevice source, DiskSpec target, FileOpener opener, Format format)
            throws BlockException {
        int workers = Runtime.getRuntime().availableProcessors();
        ImageChanges.change(loop, target, opener, bytes -> {
            ImageWriter writer = format.begin(bytes);
            new PackedConversion(loop.loop(), source, writer, workers).copy(Executors.newFixedThreadPool(workers));
        });
    }

    private void copy(ExecutorService cores) throws BlockException {
        try {
            for (long at = 0; at < sizeBytes; ) {
                lookAt(at);
                long end = runEnd == sizeBytes ? sizeBytes : runEnd / clusterBytes * clusterBytes;
                if (runZero && end > at) {
                    long clusters = (end - at + clusterBytes - 1) / clusterBytes;
                    add(new Step(null, CompletableFuture.completedFuture(true), clusters));
                    at = end;
                } else {
                    Piece piece = read(at);
                    add(new Step(piece, cores.submit(piece::pack), 0));
                    at += pieceBytes;
                }
            }
            while (!inFlight.isEmpty()) {
                writeOne();
            }
            target.finish();
        } finally {
            inFlight.forEach(step -> step.done().cancel(false));
            cores.close();
            packers.forEach(ClusterPacker::close);
        }
    }

    private void add(Step step) throws BlockException {
        inFlight.add(step);
        if (inFlight.size() == stepsMax) {
            writeOne();
        }
    }

    /** Finds how far the disk is alike from there on, zeroes or not. */
    private void lookAt(long at) throws BlockException {
        if (at < runEnd) {
            return;
        }
        runEnd = at;
        boolean[] ended = new boolean[1];
        OnLoop.await(
                loop,
                done -> source.extents(
                        at,
                        sizeBytes - at,
                        (offset, length, state) -> {
                            boolean zero = (state & ExtentSink.ZERO) != 0;
                            if (offset == at) {
                                runZero = zero;
                            }
                            ended[0] |= zero != runZero;
                            runEnd = ended[0] ? runEnd : offset + length;
                        },
                        done));
    }

    private Piece read(long at) throws BlockException {
        Piece free = idle.poll();
        Piece piece = free == null ? new Piece() : free;
        int length = (int) Math.min(pieceBytes, sizeBytes - at);
        OnLoop.await(loop, done -> source.read(at, buffer, 0, length, done));
        buffer.copyTo(0, piece.plain, 0, length);
        Arrays.fill(piece.plain, length, pieceBytes, (byte) 0);
        piece.clusters = (length + clusterBytes - 1) / clusterBytes;
        return piece;
    }

    private void writeOne() throws BlockException {
        Step step = inFlight.remove();
        Piece piece = step.piece();
        if (piece == null) {
            target.zeroes(step.zeroClusters());
            return;
        }
        try {
            boolean _ = step.done().get();
        } catch (ExecutionException failed) {
            throw new IllegalStateException(failed.getCause());
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
            throw BlockError.of(ErrorKind.CANCELLED, source.toString(), "compress", "interrupted")
                    .toException();
        }
        for (int i = 0; i < piece.clusters; i++) {
            if (piece.lengths[i] == 0) {
                target.zeroes(1);
            } else {
                target.cluster(piece.packed, i * packedBytes, piece.lengths[i]);
            }
        }
        idle.add(piece);
    }
}
