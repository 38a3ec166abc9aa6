package dev.ferry.migration.journal;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * How the record of regions in step lies in its two files. All numbers are little-endian; a sector, 512 bytes, is what a
 * disk writes whole or not at all.
 *
 * <pre>
 *   firm map   = head head block*            the head is there twice; either will do
 *   live map   = head zeroes words words     page 0; copied regions from byte 4096 on; then open regions
 *   words      = u64*                        64 regions each, lowest bit first; padded to a page
 *
 *   head          0        8      12     16           24        32          36   40              72            112    512
 *                 ┌────────┬──────┬──────┬────────────┬─────────┬───────────┬────┬───────────────┬─────────────┬──────┐
 *                 │ magic  │ crc  │  0   │ generation │ size    │ region    │ 0  │ digest of key │ boot (live) │  0   │
 *                 └────────┴──────┴──────┴────────────┴─────────┴───────────┴────┴───────────────┴─────────────┴──────┘
 *   block         0                           496      500    504    512
 *                 ┌───────────────────────────┬────────┬──────┬──────┐
 *                 │ 62 words: 3968 regions    │ number │ crc  │  0   │
 *                 └───────────────────────────┴────────┴──────┴──────┘
 *   magic  = "FERRYSM1" (firm), "FERRYSL1" (live); the last digit is the version
 *   crc    = CRC-32C of the digest of the key, and of all bytes of the sector but these four
 *   boot   = the kernel's name for the time since it was started, in ASCII, up to 40 bytes
 * </pre>
 */
final class StepLayout {
    static final int SECTOR_BYTES = 512;
    static final int HEADS = 2;
    static final int BLOCK_WORDS = 62;
    static final int LIVE_WORDS_OFFSET = 4096;
    static final int DIGEST_BYTES = 32;
    static final String FIRM_MAGIC = "FERRYSM1";
    static final String LIVE_MAGIC = "FERRYSL1";

    private static final int MAGIC_BYTES = 8;
    private static final int HEAD_CRC = 8;
    private static final int GENERATION = 16;
    private static final int SIZE = 24;
    private static final int REGION = 32;
    private static final int DIGEST = 40;
    private static final int BOOT = 72;
    private static final int BOOT_BYTES = 40;
    private static final int NUMBER = BLOCK_WORDS * Long.BYTES;
    private static final int BLOCK_CRC = NUMBER + 4;

    private StepLayout() {}

    /** What the head of a map says. */
    static final class Head {
        final long generation;
        final long sizeBytes;
        final int regionBytes;
        final byte[] digest;
        final String boot;

        Head(long generation, long sizeBytes, int regionBytes, byte[] digest, String boot) {
            this.generation = generation;
            this.sizeBytes = sizeBytes;
            this.regionBytes = regionBytes;
            this.digest = digest;
            this.boot = boot;
        }
    }

    static int words(long regions) {
        return Math.toIntExact((regions + 63) / 64);
    }

    static int blocks(int words) {
        return (words + BLOCK_WORDS - 1) / BLOCK_WORDS;
    }

    static long blockOffset(int block) {
        return (long) (HEADS + block) * SECTOR_BYTES;
    }

    /** Bytes of one of the two runs of words in a live map. */
    static long liveRunBytes(int words) {
        return ((long) words * Long.BYTES + LIVE_WORDS_OFFSET - 1) / LIVE_WORDS_OFFSET * LIVE_WORDS_OFFSET;
    }

    static ByteBuffer head(String magic, Head head) {
        ByteBuffer sector = ByteBuffer.allocate(SECTOR_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        sector.put(0, magic.getBytes(StandardCharsets.US_ASCII));
        sector.putLong(GENERATION, head.generation);
        sector.putLong(SIZE, head.sizeBytes);
        sector.putInt(REGION, head.regionBytes);
        sector.put(DIGEST, head.digest);
        byte[] boot = head.boot.getBytes(StandardCharsets.US_ASCII);
        sector.put(BOOT, boot, 0, Math.min(boot.length, BOOT_BYTES));
        return sector.putInt(HEAD_CRC, crc(sector, HEAD_CRC, head.digest));
    }

    /** The head in a sector, or null if there is none that is whole. */
    static @Nullable Head head(ByteBuffer sector, String magic) {
        byte[] begins = new byte[MAGIC_BYTES];
        sector.get(0, begins);
        byte[] digest = new byte[DIGEST_BYTES];
        sector.get(DIGEST, digest);
        if (!magic.equals(new String(begins, StandardCharsets.US_ASCII))
                || sector.getInt(HEAD_CRC) != crc(sector, HEAD_CRC, digest)) {
            return null;
        }
        byte[] boot = new byte[BOOT_BYTES];
        sector.get(BOOT, boot);
        return new Head(
                sector.getLong(GENERATION),
                sector.getLong(SIZE),
                sector.getInt(REGION),
                digest,
                new String(boot, StandardCharsets.US_ASCII).trim());
    }

    /** True if a sector begins as this kind of map does, in whatever version. */
    static boolean isOtherVersion(ByteBuffer sector, String magic) {
        byte[] begins = new byte[MAGIC_BYTES];
        sector.get(0, begins);
        String text = new String(begins, StandardCharsets.US_ASCII);
        String kind = magic.substring(0, MAGIC_BYTES - 1);
        return text.startsWith(kind) && !text.equals(magic);
    }

    /** Encodes a block from a map's words. */
    static ByteBuffer block(int number, long[] words, byte[] digest) {
        ByteBuffer sector = ByteBuffer.allocate(SECTOR_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        int first = number * BLOCK_WORDS;
        for (int i = 0; i < BLOCK_WORDS && first + i < words.length; i++) {
            sector.putLong(i * Long.BYTES, words[first + i]);
        }
        sector.putInt(NUMBER, number);
        return sector.putInt(BLOCK_CRC, crc(sector, BLOCK_CRC, digest));
    }

    /**
     * Takes a block into a map's words.
     *
     * @return false if it is not whole; its words are left alone then
     */
    static boolean take(ByteBuffer sector, int number, long[] words, byte[] digest) {
        if (sector.getInt(NUMBER) != number || sector.getInt(BLOCK_CRC) != crc(sector, BLOCK_CRC, digest)) {
            return false;
        }
        int first = number * BLOCK_WORDS;
        for (int i = 0; i < BLOCK_WORDS && first + i < words.length; i++) {
            words[first + i] = sector.getLong(i * Long.BYTES);
        }
        return true;
    }

    private static int crc(ByteBuffer sector, int without, byte[] digest) {
        CRC32C crc = new CRC32C();
        crc.update(digest, 0, digest.length);
        crc.update(sector.slice(0, without));
        crc.update(sector.slice(without + 4, SECTOR_BYTES - without - 4));
        return (int) crc.getValue();
    }
}
