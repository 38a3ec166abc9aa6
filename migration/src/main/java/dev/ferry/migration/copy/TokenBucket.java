package dev.ferry.migration.copy;

/**
 * A bound on bytes a second. A region is begun while the level is above zero and paid for in full afterwards, so that it
 * is never left half done while a guest waits for it; the debt is worked off before the next. Pausing and beginning
 * again leave the level as it is.
 */
final class TokenBucket {
    private static final double NANOS = 1e9;
    private static final double BURST_SECONDS = 0.05;

    private final double burstSeconds;
    private long bytesPerSecond;
    private double level;
    private long settledNanos;

    TokenBucket(long bytesPerSecond, long nowNanos) {
        this(bytesPerSecond, BURST_SECONDS, nowNanos);
    }

    /** @param burstSeconds how much may be made up for after a rest */
    TokenBucket(long bytesPerSecond, double burstSeconds, long nowNanos) {
        this.burstSeconds = burstSeconds;
        this.bytesPerSecond = bytesPerSecond;
        this.settledNanos = nowNanos;
        this.level = burst();
    }

    long rate() {
        return bytesPerSecond;
    }

    void rate(long newBytesPerSecond, long nowNanos) {
        settle(nowNanos);
        bytesPerSecond = newBytesPerSecond;
        level = Math.min(level, burst());
    }

    void take(long bytes) {
        if (bytesPerSecond > 0) {
            level -= bytes;
        }
    }

    /** How long to wait before the next region; 0: not at all. */
    long waitNanos(long nowNanos) {
        settle(nowNanos);
        if (bytesPerSecond == 0 || level > 0) {
            return 0;
        }
        return 1 + (long) Math.ceil((1 - level) / bytesPerSecond * NANOS);
    }

    private void settle(long nowNanos) {
        long passed = nowNanos - settledNanos;
        settledNanos = nowNanos;
        level = bytesPerSecond == 0 ? 0 : Math.min(burst(), level + passed / NANOS * bytesPerSecond);
    }

    private double burst() {
        return Math.max(1, bytesPerSecond * burstSeconds);
    }
}
