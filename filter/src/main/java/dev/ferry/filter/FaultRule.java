package dev.ferry.filter;

import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import org.jspecify.annotations.Nullable;

/**
 * Which requests a {@link Fault} hits, and what becomes of them.
 *
 * @param operations bits {@link #READ} and so on
 * @param from first byte of the range that is hit; a flush has no range and is always within
 * @param end first byte after it
 * @param perMillion how many of a million such requests
 * @param kind the error that they get; null: they stall
 */
public record FaultRule(
        int operations,
        long from,
        long end,
        int perMillion,
        @Nullable ErrorKind kind) {
    public static final int READ = 1;
    public static final int WRITE = 2;
    public static final int ZERO = 4;
    public static final int DISCARD = 8;
    public static final int FLUSH = 16;
    public static final int EXTENTS = 32;

    /** Whatever changes the disk or makes changes durable. */
    public static final int CHANGES = WRITE | ZERO | DISCARD | FLUSH;

    /** All of them. */
    public static final int MILLION = 1_000_000;

    public FaultRule {
        Invariant.that(perMillion >= 0 && perMillion <= MILLION, "share of requests that fail");
    }

    /** Every such request on the whole disk fails. */
    public static FaultRule fail(int operations, ErrorKind kind) {
        return new FaultRule(operations, 0, Long.MAX_VALUE, MILLION, kind);
    }

    /** Every such request on the whole disk stalls. */
    public static FaultRule stall(int operations) {
        return new FaultRule(operations, 0, Long.MAX_VALUE, MILLION, null);
    }

    boolean covers(int operation, long offset, long length) {
        return (operations & operation) != 0 && (offset < 0 || (offset < end && offset + length > from));
    }
}
