package dev.ferry.migration;

/**
 * Measures, from one tick to the next, how fast iterations copy and compare beside what the guest changes, for a
 * {@link ConvergenceJudge}.
 *
 * <p>Thread: the loop's.
 */
final class ConvergenceMeter {
    private static final double THROUGHOUT_SHARE = 0.8;

    private final ConvergenceJudge judge;
    private final Dial dial;
    private long sampledNanos;
    private long copiedBefore;
    private long comparedBefore;
    private long comparingBefore;
    private long dirtyBytesPerSecond;
    private long flushNanos;

    ConvergenceMeter(ConvergenceJudge judge, Dial dial) {
        this.judge = judge;
        this.dial = dial;
    }

    /** The copier begins. */
    void begin(long nowNanos, long workedBytes) {
        sampledNanos = nowNanos;
        copiedBefore = workedBytes;
    }

    void dirty(long bytesPerSecond) {
        dirtyBytesPerSecond = bytesPerSecond;
    }

    void flushTook(long nanos) {
        flushNanos = nanos;
    }

    /**
     * A tick.
     *
     * @param busy the copier has had work all the while
     * @param workedBytes by the copier, in all
     * @param leftBytes that are not copied, or were changed since
     * @param unprovedBytes that are to be compared still
     */
    void sample(long nowNanos, boolean busy, long workedBytes, long leftBytes, long unprovedBytes, int iterations) {
        long passed = nowNanos - sampledNanos;
        long comparing = dial.comparingNanos() - comparingBefore;
        // A round of a few regions says how long a round takes, and not how fast it would be with more to do.
        boolean throughout = comparing >= passed * THROUGHOUT_SHARE;
        judge.add(new ConvergenceJudge.Sample(
                nowNanos,
                busy ? passed : 0,
                busy ? workedBytes - copiedBefore : 0,
                throughout ? dial.comparedBytes() - comparedBefore : 0,
                throughout ? comparing : 0,
                dirtyBytesPerSecond,
                leftBytes,
                unprovedBytes,
                flushNanos,
                iterations));
        sampledNanos = nowNanos;
        copiedBefore = workedBytes;
        comparedBefore = dial.comparedBytes();
        comparingBefore = dial.comparingNanos();
    }
}
