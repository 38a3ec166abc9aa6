package dev.ferry.filter;

import org.HdrHistogram.Histogram;

/**
 * How long the requests of a guest take, from one look to the next: for whoever has to act on it soon. Reads, writes, zeroes
 * and discards count; flushes, which wait for the disk anyhow, do not.
 *
 * <p>Thread: the loop's of the {@link Stats} that it is given to.
 */
public final class LatencyWatch {
    private static final long LOWEST_NANOS = 1024;
    private static final long HIGHEST_NANOS = 60_000_000_000L;

    private final Histogram histogram = new Histogram(LOWEST_NANOS, HIGHEST_NANOS, 2);
    private long slowNanos = HIGHEST_NANOS;
    private long slow;

    /** Says from now on what a slow request is: one that takes longer than this. */
    public void slowAbove(long nanos) {
        slowNanos = nanos;
    }

    /** One request has ended. */
    public void record(long nanos) {
        if (nanos > slowNanos) {
            slow++;
        }
        histogram.recordValue(Math.max(0, Math.min(nanos, HIGHEST_NANOS)));
    }

    /** Requests since the last {@link #reset}. */
    public long count() {
        return histogram.getTotalCount();
    }

    /** Slow ones among all requests there have been. */
    public long slowCount() {
        return slow;
    }

    /** What 99 of 100 of them did not pass; 0 if there were none. */
    public long p99Nanos() {
        return histogram.getValueAtPercentile(99);
    }

    public void reset() {
        histogram.reset();
    }
}
