package dev.ferry.filter.tracking;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.testkit.Seeds;
import java.util.Arrays;
import java.util.BitSet;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Which blocks are dirty, against a set of bits that nobody has made small. */
class DirtyBitmapTest {
    private static final int BLOCK = 512;
    private static final long TIB = 1L << 40;

    /** Taken out piece by piece and put into another that held something else. */
    @Test
    void piecesCarryAllOfIt() {
        Seeds.run(30, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            long size = BLOCK * (1L + random.nextInt(100_000)) + random.nextInt(BLOCK);
            DirtyBitmap bitmap = new DirtyBitmap(size, BLOCK);
            DirtyBitmap other = new DirtyBitmap(size, BLOCK);
            other.set(random.nextLong(size), 1);
            if (random.nextInt(4) == 0) {
                bitmap.setAll();
            }
            for (int i = 0; i < 20; i++) {
                long offset = random.nextLong(size);
                bitmap.set(offset, 1 + random.nextLong(Math.min(size - offset, 1 << 20)));
            }
            byte[] piece = new byte[DirtyBitmap.PIECE_BYTES + 3];
            for (int i = 0; i < bitmap.pieces(); i++) {
                bitmap.copyPiece(i, piece, 3);
                int set = BitSet.valueOf(Arrays.copyOfRange(piece, 3, piece.length))
                        .cardinality();
                assertThat(set).isEqualTo(bitmap.dirtyIn(i)).isLessThanOrEqualTo(bitmap.blocksIn(i));
                // Bits behind the end of the disk are nobody's.
                if (bitmap.blocksIn(i) < DirtyBitmap.PIECE_BYTES * Byte.SIZE) {
                    piece[piece.length - 1] |= (byte) 0x80;
                }
                other.putPiece(i, piece, 3);
            }
            assertThat(other.dirtyBytes()).isEqualTo(bitmap.dirtyBytes());
            for (long at = 0; at < size; ) {
                assertThat(other.nextDirty(at)).isEqualTo(bitmap.nextDirty(at));
                assertThat(other.nextClean(at)).isEqualTo(bitmap.nextClean(at));
                at = Math.max(bitmap.nextDirty(at), bitmap.nextClean(at));
            }
        });
    }

    @Test
    void agreesWithASetOfBits() {
        Seeds.run(30, DirtyBitmapTest::agrees);
    }

    private static void agrees(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        // More than two chunks of 32768 blocks, and a short last block.
        long size = BLOCK * (1L + random.nextInt(100_000)) + random.nextInt(BLOCK);
        DirtyBitmap bitmap = new DirtyBitmap(size, BLOCK);
        BitSet model = new BitSet();
        int blocks = (int) ((size + BLOCK - 1) / BLOCK);
        for (int i = 0; i < 300; i++) {
            long offset = random.nextLong(size);
            long length = 1 + random.nextLong(random.nextBoolean() ? Math.min(size - offset, 5000) : size - offset);
            switch (random.nextInt(8)) {
                case 0 -> {
                    bitmap.setAll();
                    model.set(0, blocks);
                }
                case 1 -> {
                    bitmap.clearAll();
                    model.clear();
                }
                case 2, 3, 4 -> {
                    bitmap.set(offset, length);
                    model.set((int) (offset / BLOCK), (int) ((offset + length - 1) / BLOCK) + 1);
                }
                default -> {
                    bitmap.clear(offset, length);
                    int from = (int) ((offset + BLOCK - 1) / BLOCK);
                    int end = offset + length == size ? blocks : (int) ((offset + length) / BLOCK);
                    model.clear(from, Math.max(from, end));
                }
            }
            compare(bitmap, model, size, random.nextLong(size));
        }
    }

    private static void compare(DirtyBitmap bitmap, BitSet model, long size, long at) {
        int block = (int) (at / BLOCK);
        int blocks = (int) ((size + BLOCK - 1) / BLOCK);
        int dirty = model.nextSetBit(block);
        int clean = model.nextClearBit(block);
        assertThat(bitmap.nextDirty(at)).isEqualTo(dirty < 0 ? size : Math.max(at, (long) dirty * BLOCK));
        assertThat(bitmap.nextClean(at)).isEqualTo(clean >= blocks ? size : Math.max(at, (long) clean * BLOCK));

        assertThat(bitmap.isDirty(at, 1)).isEqualTo(model.get(block));
        long tail = model.get(blocks - 1) ? (long) blocks * BLOCK - size : 0;
        assertThat(bitmap.dirtyBytes()).isEqualTo((long) model.cardinality() * BLOCK - tail);
    }

    @Test
    void aSmallWriteLeavesTheRestOfItsBlockAsItWas() {
        DirtyBitmap bitmap = new DirtyBitmap(1 << 20, DirtyBitmap.GRANULARITY_BYTES);
        bitmap.set(0, 1);
        bitmap.clear(0, 4096);
        assertThat(bitmap.isDirty(0, 1)).as("not all of the block was cleared").isTrue();
        bitmap.clear(0, DirtyBitmap.GRANULARITY_BYTES);
        assertThat(bitmap.dirtyBytes()).isZero();
    }

    @Test
    void theContentGoesFromOneToTheOther() {
        DirtyBitmap now = new DirtyBitmap(1 << 20, 4096);
        DirtyBitmap before = new DirtyBitmap(1 << 20, 4096);
        now.set(8192, 4096);
        before.set(0, 4096);
        now.moveTo(before);
        assertThat(now.dirtyBytes()).isZero();
        assertThat(before.nextDirty(0)).isEqualTo(8192);
        now.set(0, 4096);
        assertThat(before.isDirty(0, 4096)).as("nothing is shared").isFalse();
        assertThatThrownBy(() -> now.moveTo(new DirtyBitmap(1 << 20, 8192))).hasMessageContaining("shapes");
    }

    @Test
    void aDiskOf16TiBTakesLittleMemoryHoweverItIsWritten() {
        DirtyBitmap bitmap = new DirtyBitmap(16 * TIB, DirtyBitmap.GRANULARITY_BYTES);
        assertThat(bitmap.memoryBytes()).as("clean").isLessThan(256 << 10);
        bitmap.setAll();
        assertThat(bitmap.memoryBytes()).as("dirty").isLessThan(256 << 10);
        assertThat(bitmap.dirtyBytes()).isEqualTo(16 * TIB);
        bitmap.clearAll();
        SplittableRandom random = new SplittableRandom(1);
        for (int i = 0; i < 1000; i++) {
            bitmap.set(random.nextLong(16 * TIB), 1);
        }
        assertThat(bitmap.memoryBytes()).as("sparse").isLessThan(5 << 20);
        for (long offset = 0; offset < 16 * TIB; offset += 1L << 30) {
            bitmap.set(offset, 1);
        }
        assertThat(bitmap.memoryBytes()).as("a write in every GiB").isLessThan(64 << 20);
    }
}
