package dev.ferry.block;

/** Bits of the {@code flags} of requests that change data. */
public final class RequestFlags {
    /** The request ends only when what it changed is durable. */
    public static final int FUA = 1;

    /** Zeroes only: the range stays allocated, or becomes so. */
    public static final int NO_HOLE = 2;

    /** Zeroes only: fail at once where zeroing is no faster than writing. */
    public static final int FAST_ZERO = 4;

    private RequestFlags() {}
}
