package dev.ferry.migration.copy;

import dev.ferry.block.Loop;

/**
 * How many requests keep the way to a target full: as many as are answered in the time that one takes to be answered, and
 * {@link #SLACK_NANOS} more, so that the way does not run empty whenever one of the two ends is late. The time is the least
 * that was ever seen: what is above it is queues, and more requests would only make those longer.
 *
 * <p>A target that answers within {@link #NEAR_NANOS} is not far; what it is sent at once is not for this to say.
 *
 * <p>Thread: the loop's. Allocates nothing.
 */
final class FarDepth {
    static final long NEAR_NANOS = 3_000_000;
    static final long SLACK_NANOS = 30_000_000;
    static final long WINDOW_NANOS = 100_000_000;

    private final Loop loop;
    private final int least;
    private final int most;
    private final int requestBytes;

    private long leastNanos = Long.MAX_VALUE;
    private long windowBeganNanos;
    private long windowBytes;
    private boolean windowOpen;
    private int depth;

    /**
     * @param least for targets that are not far, and to begin with
     * @param requestBytes of a request that is as long as they get
     */
    FarDepth(Loop loop, int least, int most, int requestBytes) {
        this.loop = loop;
        this.least = least;
        this.most = most;
        this.requestBytes = requestBytes;
        this.depth = least;
    }

    /** Requests to have under way. */
    int depth() {
        return depth;
    }

    long nanoTime() {
        return loop.nanoTime();
    }

    /** A request has been answered that was sent at {@code sentNanos}. */
    void answered(int bytes, long sentNanos) {
        long nowNanos = loop.nanoTime();
        leastNanos = Math.min(leastNanos, nowNanos - sentNanos);
        if (!windowOpen) {
            windowOpen = true;
            windowBeganNanos = nowNanos;
            windowBytes = 0;
            return;
        }
        windowBytes += bytes;
        long lasted = nowNanos - windowBeganNanos;
        // Answers of a far target come in bunches, one in the time that a request takes.
        if (lasted < Math.max(WINDOW_NANOS, 2 * leastNanos)) {
            return;
        }
        double bytesPerNano = (double) windowBytes / lasted;
        windowBeganNanos = nowNanos;
        windowBytes = 0;
        if (leastNanos < NEAR_NANOS) {
            depth = least;
            return;
        }
        double wanted = bytesPerNano * (leastNanos + SLACK_NANOS) / requestBytes;
        // A lull is no reason to let the way run empty after it: down by one at most.
        int next = Math.max(depth - 1, (int) Math.ceil(wanted));
        depth = Math.clamp(next, least, most);
    }
}
