package dev.ferry.filter;

/**
 * What a disk has done since it was opened, and lately.
 *
 * @param elapsedNanos since the disk was opened
 * @param recentNanos how far back what is called recent goes: one to two seconds
 */
public record StatsSnapshot(
        Operation read,
        Operation write,
        Operation zero,
        Operation discard,
        Operation flush,
        long elapsedNanos,
        long recentNanos) {
    /**
     * One kind of request. Latencies are in nanoseconds, exact to 1 %, up to a minute.
     *
     * @param count requests that have ended, those with an error too
     * @param bytes in those that succeeded
     * @param errors how many failed
     */
    public record Operation(long count, long bytes, long errors, Latency all, Latency recent) {}

    /** How long requests took: {@code count} of them. */
    public record Latency(long count, long p50Nanos, long p99Nanos, long p999Nanos, long maxNanos) {
        static final Latency NONE = new Latency(0, 0, 0, 0, 0);
    }

    /** Requests of all kinds that have ended. */
    public long count() {
        return read.count + write.count + zero.count + discard.count + flush.count;
    }
}
