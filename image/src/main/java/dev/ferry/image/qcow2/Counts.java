package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.s32;
import static dev.ferry.image.qcow2.Qcow2Layout.u16;
import static dev.ferry.image.qcow2.Qcow2Layout.u32;
import static dev.ferry.image.qcow2.Qcow2Layout.u64;

import java.util.Arrays;

/** The entries of a refcount block: numbers of 1 to 64 bits, the ones below a byte with the first in the low bits. */
final class Counts {
    private Counts() {}

    /** A 64-bit count above {@link Long#MAX_VALUE} comes out as that. */
    static long at(byte[] bytes, int index, int order) {
        return switch (order) {
            case 0, 1, 2 -> (bytes[index << order >>> 3] & 0xff) >>> ((index << order) & 7) & mask(order);
            case 3 -> bytes[index] & 0xff;
            case 4 -> u16(bytes, index * 2);
            case 5 -> u32(bytes, index * 4);
            default -> {
                long count = u64(bytes, index * 8);
                yield count < 0 ? Long.MAX_VALUE : count;
            }
        };
    }

    static void set(byte[] bytes, int index, int order, long count) {
        switch (order) {
            case 0, 1, 2 -> {
                int at = index << order >>> 3;
                int shift = (index << order) & 7;
                bytes[at] = (byte) ((bytes[at] & ~(mask(order) << shift)) | (int) count << shift);
            }
            case 3 -> bytes[index] = (byte) count;
            case 4 -> {
                bytes[index * 2] = (byte) (count >>> 8);
                bytes[index * 2 + 1] = (byte) count;
            }
            case 5 -> s32(bytes, index * 4, (int) count);
            default -> u64(bytes, index * 8, count);
        }
    }

    /**
     * The first count from one on that is not 0, or one of those that share its byte.
     *
     * @param zeroes as many as there are bytes, or more
     * @return where there is none, a number past the last
     */
    static int nextCounted(byte[] bytes, int from, int order, byte[] zeroes) {
        int at = (int) ((long) from << order >>> 3);
        int ahead = Arrays.mismatch(bytes, at, bytes.length, zeroes, 0, bytes.length - at);
        return ahead < 0 ? Integer.MAX_VALUE : Math.max(from, (int) (((at + ahead) * 8L) >>> order));
    }

    /** The largest count of a width. */
    static long most(int order) {
        return order == 6 ? Long.MAX_VALUE : (1L << (1 << order)) - 1;
    }

    private static int mask(int order) {
        return (1 << (1 << order)) - 1;
    }
}
