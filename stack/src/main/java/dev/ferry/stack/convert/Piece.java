package dev.ferry.stack.convert;

import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.PlainFile;
import dev.ferry.image.ClusterPacker;
import dev.ferry.image.ImageWriter;
import org.jspecify.annotations.Nullable;

/**
 * A stretch of the disk on its way into the file, and the memory for it; used again. Belongs to one thread at a time: to the
 * reader that has taken it, then to whoever gives it its place.
 */
final class Piece {
    private static final int ZERO = -1;

    private final int clusterBytes;
    private final int packedBytesMax;
    private final IoBuffer plain;
    private final @Nullable IoBuffer packed;
    private final int[] lengths;
    private final Run[] runs;
    private int runCount;
    private int clusters;
    /** Which one it is, in the order of the disk. */
    long number;

    long offset;
    int length;

    /** The end of its read, told to the reader that has it. */
    final Completion read = error -> this.reader().read(this, error);

    private @Nullable Reader reader;

    /** What goes into the file in one write. */
    private static final class Run {
        private boolean packed;
        private int at;
        private int length;
        private long target;
    }

    Piece(ImageWriter writer, int pieceBytes, boolean packs) {
        this.clusterBytes = writer.clusterBytes();
        this.packedBytesMax = writer.packedBytesMax();
        int most = pieceBytes / clusterBytes;
        this.plain = IoBuffer.allocate(pieceBytes);
        this.packed = packs ? IoBuffer.allocate(Math.multiplyExact(most, packedBytesMax)) : null;
        this.lengths = new int[most];
        this.runs = new Run[most];
        for (int i = 0; i < most; i++) {
            runs[i] = new Run();
        }
    }

    /** @param ofLength no more than a piece has room for */
    void begin(long ofNumber, long from, int ofLength) {
        number = ofNumber;
        offset = from;
        length = ofLength;
    }

    void takenBy(Reader taker) {
        reader = taker;
    }

    private Reader reader() {
        Reader taker = reader;
        if (taker == null) {
            throw new IllegalStateException("a piece that nobody reads");
        }
        return taker;
    }

    /** Where it is read into. */
    IoBuffer buffer() {
        return plain;
    }

    /** Finds zeroes and compresses, after it was read. */
    void pack(@Nullable ClusterPacker packer) {
        clusters = (length + clusterBytes - 1) / clusterBytes;
        plain.zero(length, clusters * clusterBytes - length);
        IoBuffer to = packed;
        int used = 0;
        for (int i = 0; i < clusters; i++) {
            int at = i * clusterBytes;
            if (plain.isZero(at, clusterBytes)) {
                lengths[i] = ZERO;
            } else if (packer == null || to == null) {
                lengths[i] = ClusterPacker.AS_IT_IS;
            } else {
                lengths[i] = packer.pack(offset / clusterBytes + i, plain, at, to, used);
                used += lengths[i];
            }
        }
    }

    /** Gives each of its clusters a place in the file. All before it have theirs. */
    void place(ImageWriter writer) throws BlockException {
        runCount = 0;
        int used = 0;
        for (int i = 0; i < clusters; i++) {
            if (lengths[i] == ZERO) {
                writer.zeroes(1);
            } else if (lengths[i] == ClusterPacker.AS_IT_IS) {
                add(false, i * clusterBytes, clusterBytes, writer.place(clusterBytes));
            } else {
                add(true, used, lengths[i], writer.place(lengths[i]));
                used += lengths[i];
            }
        }
    }

    /** What lies side by side in memory and in the file is one run. */
    private void add(boolean isPacked, int at, int bytes, long target) {
        if (runCount > 0) {
            Run last = runs[runCount - 1];
            if (last.packed == isPacked && last.at + last.length == at && last.target + last.length == target) {
                last.length += bytes;
                return;
            }
        }
        Run run = runs[runCount++];
        run.packed = isPacked;
        run.at = at;
        run.length = bytes;
        run.target = target;
    }

    void write(PlainFile file) throws BlockException {
        for (int i = 0; i < runCount; i++) {
            Run run = runs[i];
            IoBuffer from = run.packed && packed != null ? packed : plain;
            file.write(run.target, from, run.at, run.length);
        }
    }

    long clusters() {
        return clusters;
    }
}
