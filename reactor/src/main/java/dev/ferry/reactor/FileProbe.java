package dev.ferry.reactor;

/**
 * A look at a few bytes of a file that the kernel is about to send by itself. What is sent so is never seen, so that zeroes would
 * travel like anything else; this finds most ranges that have some: holes, space that is only reserved, zeroes that were
 * written. It costs a copy of {@link #BYTES} in each {@link #STRIDE_BYTES}; to ask the file system where the next hole is may
 * mean walking the whole file. Any thread, with memory of its own.
 */
public final class FileProbe {
    /** Bytes of memory that a probe needs. */
    public static final int BYTES = 64;

    private static final int STRIDE_BYTES = 64 << 10;

    private FileProbe() {}

    /**
     * Whether there are zeroes at one of the places looked at. What cannot be looked at counts as such.
     *
     * @param scratch address of {@link #BYTES} bytes of memory, aligned to 8
     */
    public static boolean showsZeroes(int file, long position, long length, long scratch) {
        long end = position + length - BYTES;
        for (long at = position; at <= end; at += STRIDE_BYTES) {
            if (Linux.pread(file, scratch, BYTES, at) < BYTES || isZero(scratch)) {
                return true;
            }
        }
        return false;
    }

    private static boolean isZero(long scratch) {
        long all = 0;
        for (int i = 0; i < BYTES; i += Long.BYTES) {
            all |= Memory.longAt(scratch + i);
        }
        return all == 0;
    }
}
