package dev.ferry.filter.tracking;

import dev.ferry.block.Invariant;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Which blocks of a disk are dirty, one bit for each block of a granularity.
 *
 * <p>The bits lie in chunks, and a chunk that is clean throughout, or dirty throughout, takes no memory:
 *
 * <pre>
 *   bitmap = chunk*                     chunk i covers blocks i * 32768 up to the next
 *   chunk  = NONE                       all clean, one object for all bitmaps
 *          | ALL                        all dirty, likewise
 *          | 512 words of 64 bits       the lowest bit first
 * </pre>
 *
 * A disk of 16 TiB at 64 KiB takes 32 MiB if every chunk is mixed, and in proportion to what is written if it is sparse.
 *
 * <p>Offsets and lengths are bytes. Thread: one at a time, the disk's loop for bitmaps of a {@link Tracker}.
 */
public final class DirtyBitmap {
    /** What most that copy or back up work in. */
    public static final int GRANULARITY_BYTES = 64 << 10;

    private static final int CHUNK_SHIFT = 15;
    private static final int CHUNK_BLOCKS = 1 << CHUNK_SHIFT;
    private static final int CHUNK_WORDS = CHUNK_BLOCKS / Long.SIZE;
    private static final long[] NONE = new long[0];
    private static final long[] ALL = new long[0];

    private final long sizeBytes;
    private final int shift;
    private final long blocks;
    private final int[] counts;
    private long[][] chunks;
    private long count;

    /**
     * A bitmap with nothing dirty.
     *
     * @param granularityBytes a power of two, at least 512
     */
    public DirtyBitmap(long sizeBytes, int granularityBytes) {
        Invariant.that(sizeBytes > 0, "size of a disk");
        Invariant.that(Integer.bitCount(granularityBytes) == 1 && granularityBytes >= 512, "granularity of a bitmap");
        this.sizeBytes = sizeBytes;
        this.shift = Integer.numberOfTrailingZeros(granularityBytes);
        this.blocks = (sizeBytes + granularityBytes - 1) >>> shift;
        int number = Math.toIntExact((blocks + CHUNK_BLOCKS - 1) >>> CHUNK_SHIFT);
        this.chunks = new long[number][];
        this.counts = new int[number];
        Arrays.fill(chunks, NONE);
    }

    public long sizeBytes() {
        return sizeBytes;
    }

    public int granularityBytes() {
        return 1 << shift;
    }

    /** Bytes in dirty blocks. */
    public long dirtyBytes() {
        boolean lastDirty = has(blocks - 1);
        return (count << shift) - (lastDirty ? (blocks << shift) - sizeBytes : 0);
    }

    /** Makes every block dirty that a range touches. */
    public void set(long offset, long length) {
        check(offset, length);
        change(offset >>> shift, ((offset + length - 1) >>> shift) + 1, true);
    }

    /** Makes every block clean that lies in a range as a whole: what is left of a block may be dirty yet. */
    public void clear(long offset, long length) {
        check(offset, length);
        long end = offset + length == sizeBytes ? blocks : (offset + length) >>> shift;
        long from = (offset + (1L << shift) - 1) >>> shift;
        if (from < end) {
            change(from, end, false);
        }
    }

    public void setAll() {
        change(0, blocks, true);
    }

    public void clearAll() {
        Arrays.fill(chunks, NONE);
        Arrays.fill(counts, 0);
        count = 0;
    }

    /** True if any block is dirty that a range touches. */
    public boolean isDirty(long offset, long length) {
        return nextDirty(offset) < offset + length;
    }

    /** The first byte at or after an offset that lies in a dirty block; the size of the disk if there is none. */
    public long nextDirty(long offset) {
        return next(offset, true);
    }

    /** The first byte at or after an offset that lies in a clean block; the size of the disk if there is none. */
    public long nextClean(long offset) {
        return next(offset, false);
    }

    /** Puts what is dirty here in the place of what was in another bitmap of the same shape; nothing is dirty here then. */
    public void moveTo(DirtyBitmap other) {
        Invariant.that(other != this && other.sizeBytes == sizeBytes && other.shift == shift, "bitmaps of two shapes");
        long[][] mine = chunks;
        chunks = other.chunks;
        other.chunks = mine;
        System.arraycopy(counts, 0, other.counts, 0, counts.length);
        other.count = count;
        clearAll();
    }

    // ---- pieces, for whoever keeps the bits somewhere else

    /** Bytes of the bits of a piece. */
    public static final int PIECE_BYTES = CHUNK_BLOCKS / Byte.SIZE;

    /** The bits lie in so many pieces; the last may be a short one. */
    public int pieces() {
        return chunks.length;
    }

    /** Blocks of a piece. */
    public int blocksIn(int piece) {
        return blocksOf(piece);
    }

    /** Dirty blocks of a piece. */
    public int dirtyIn(int piece) {
        return counts[piece];
    }

    /** Gives the bits of a piece, {@link #PIECE_BYTES} of them, the lowest bit of the first byte first. */
    public void copyPiece(int piece, byte[] into, int at) {
        long[] chunk = chunks[piece];
        int there = blocksOf(piece);
        ByteBuffer bytes = ByteBuffer.wrap(into, at, PIECE_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int word = 0; word < CHUNK_WORDS; word++) {
            int left = there - word * Long.SIZE;
            long mask = left >= Long.SIZE ? -1L : left <= 0 ? 0 : (1L << left) - 1;
            bytes.putLong(chunk == NONE ? 0 : (chunk == ALL ? -1L : chunk[word]) & mask);
        }
    }

    /** Puts bits in the place of those of a piece; what lies behind the end of the disk does not count. */
    public void putPiece(int piece, byte[] from, int at) {
        int there = blocksOf(piece);
        long[] words = new long[CHUNK_WORDS];
        ByteBuffer bytes = ByteBuffer.wrap(from, at, PIECE_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        int dirty = 0;
        for (int word = 0; word * Long.SIZE < there; word++) {
            int left = there - word * Long.SIZE;
            words[word] = bytes.getLong() & (left >= Long.SIZE ? -1L : (1L << left) - 1);
            dirty += Long.bitCount(words[word]);
        }
        count += dirty - counts[piece];
        counts[piece] = dirty;
        chunks[piece] = dirty == 0 ? NONE : dirty == there ? ALL : words;
    }

    /** Memory that the bits take, in bytes. */
    public long memoryBytes() {
        long bytes = (long) chunks.length * (Long.BYTES + Integer.BYTES);
        for (long[] chunk : chunks) {
            bytes += chunk == NONE || chunk == ALL ? 0 : (long) CHUNK_WORDS * Long.BYTES;
        }
        return bytes;
    }

    private void check(long offset, long length) {
        Invariant.that(offset >= 0 && length > 0 && length <= sizeBytes - offset, "range of a disk");
    }

    // ---- blocks

    private int blocksOf(int chunk) {
        return (int) Math.min(CHUNK_BLOCKS, blocks - ((long) chunk << CHUNK_SHIFT));
    }

    private boolean has(long block) {
        long[] chunk = chunks[(int) (block >>> CHUNK_SHIFT)];
        int bit = (int) (block & (CHUNK_BLOCKS - 1));
        return chunk == ALL || (chunk != NONE && (chunk[bit >>> 6] & (1L << bit)) != 0);
    }

    private long next(long offset, boolean dirty) {
        Invariant.that(offset >= 0 && offset <= sizeBytes, "offset on a disk");
        long from = offset >>> shift;
        for (long block = from; block < blocks; ) {
            int index = (int) (block >>> CHUNK_SHIFT);
            long first = (long) index << CHUNK_SHIFT;
            int bit = nextIn(index, (int) (block - first), dirty);
            if (bit < blocksOf(index)) {
                return Math.max(offset, (first + bit) << shift);
            }
            block = first + CHUNK_BLOCKS;
        }
        return sizeBytes;
    }

    private int nextIn(int index, int from, boolean dirty) {
        long[] chunk = chunks[index];
        if (chunk == NONE || chunk == ALL) {
            return dirty == (chunk == ALL) ? from : CHUNK_BLOCKS;
        }
        int word = from >>> 6;
        long flip = dirty ? 0 : -1;
        long bits = (chunk[word] ^ flip) & (-1L << from);
        while (bits == 0) {
            if (++word == CHUNK_WORDS) {
                return CHUNK_BLOCKS;
            }
            bits = chunk[word] ^ flip;
        }
        return (word << 6) + Long.numberOfTrailingZeros(bits);
    }

    private void change(long from, long end, boolean dirty) {
        for (long block = from; block < end; ) {
            int index = (int) (block >>> CHUNK_SHIFT);
            long first = (long) index << CHUNK_SHIFT;
            long to = Math.min(end, first + blocksOf(index));
            change(index, (int) (block - first), (int) (to - first), dirty);
            block = to;
        }
    }

    private void change(int index, int from, int end, boolean dirty) {
        int all = blocksOf(index);
        if (counts[index] == (dirty ? all : 0)) {
            return;
        }
        if (from == 0 && end == all) {
            become(index, dirty);
            return;
        }
        long[] chunk = chunks[index];
        if (chunk == NONE || chunk == ALL) {
            long[] words = new long[CHUNK_WORDS];
            if (chunk == ALL) {
                Arrays.fill(words, -1L);
            }
            chunk = words;
            chunks[index] = words;
        }
        int changed = flip(chunk, from, end, dirty);
        counts[index] += dirty ? changed : -changed;
        count += dirty ? changed : -changed;
        if (counts[index] == (dirty ? all : 0)) {
            become(index, dirty);
        }
    }

    /** All of a chunk is the same now. */
    private void become(int index, boolean dirty) {
        int after = dirty ? blocksOf(index) : 0;
        count += after - counts[index];
        counts[index] = after;
        chunks[index] = dirty ? ALL : NONE;
    }

    private static int flip(long[] words, int from, int end, boolean dirty) {
        int changed = 0;
        for (int at = from; at < end; ) {
            int next = Math.min(end, (at | 63) + 1);
            long mask = (-1L << at) & (-1L >>> (64 - (next - (at & -64))));
            long before = words[at >>> 6];
            long after = dirty ? before | mask : before & ~mask;
            words[at >>> 6] = after;
            changed += Long.bitCount(before ^ after);
            at = next;
        }
        return changed;
    }
}
