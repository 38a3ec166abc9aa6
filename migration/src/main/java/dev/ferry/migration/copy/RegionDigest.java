package dev.ferry.migration.copy;

import dev.ferry.block.IoBuffer;
import java.lang.foreign.MemorySegment;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;

/**
 * The digests of one region on both sides, and where they differ. Used by one thread at a time. Where the sides are equal,
 * which is the rule, one digest serves for both; that of a region of zeroes is kept.
 */
final class RegionDigest {
    private static final int BLOCK_BYTES = 4096;
    private static final int RANGES_MAX = 64;

    private final MessageDigest sha = sha256();
    private final List<DifferingRange> differences = new ArrayList<>();
    private byte[] source = new byte[0];
    private byte[] target = new byte[0];
    private byte[] ofZeroes = new byte[0];
    private int zeroesLength = -1;

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException missing) {
            throw new IllegalStateException("every Java has SHA-256", missing);
        }
    }

    byte[] source() {
        return source;
    }

    byte[] target() {
        return target;
    }

    List<DifferingRange> differences() {
        return differences;
    }

    void zero(int length) {
        if (zeroesLength != length) {
            byte[] zeroes = new byte[BLOCK_BYTES];
            for (int rest = length; rest > 0; rest -= BLOCK_BYTES) {
                sha.update(zeroes, 0, Math.min(rest, BLOCK_BYTES));
            }
            ofZeroes = sha.digest();
            zeroesLength = length;
        }
        differences.clear();
        source = ofZeroes;
        target = ofZeroes;
    }

    void compute(IoBuffer sourceBytes, IoBuffer targetBytes, long offset, int length) {
        differences.clear();
        MemorySegment left = sourceBytes.segment();
        MemorySegment right = targetBytes.segment();
        if (MemorySegment.mismatch(left, 0, length, right, 0, length) == -1) {
            if (sourceBytes.isZero(0, length)) {
                zero(length);
            } else {
                source = digest(left, length);
                target = source;
            }
            return;
        }
        source = digest(left, length);
        target = digest(right, length);
        findDifferences(left, right, offset, length);
    }

    private byte[] digest(MemorySegment bytes, int length) {
        sha.update(bytes.asSlice(0, length).asByteBuffer());
        return sha.digest();
    }

    private void findDifferences(MemorySegment left, MemorySegment right, long offset, int length) {
        int at = 0;
        while (at < length && differences.size() < RANGES_MAX) {
            long found = MemorySegment.mismatch(left, at, length, right, at, length);
            if (found == -1) {
                return;
            }
            int from = (int) (at + found) & -BLOCK_BYTES;
            int end = from;
            while (end < length && differs(left, right, end, Math.min(length, end + BLOCK_BYTES))) {
                end = Math.min(length, end + BLOCK_BYTES);
            }
            differences.add(new DifferingRange(offset + from, end - from));
            at = end;
        }
    }

    private static boolean differs(MemorySegment left, MemorySegment right, int from, int end) {
        return MemorySegment.mismatch(left, from, end, right, from, end) != -1;
    }
}
