package dev.ferry.migration;

import java.util.ArrayDeque;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Judges, from what is measured and nothing else, whether the guest could be held now for what is left, and whether it
 * ever could.
 *
 * <p>The downtime is what is left to be copied at the speed of the copy, and what is left to be compared at the speed of
 * the comparison, and a flush. It does not converge if, the first pass being over, the best of the last span of samples is
 * hardly better than the best of the span before it, and too long. It is never judged on fewer than two whole spans, and
 * samples of a move that is paused or parked do not count.
 *
 * <p>A pure function of its samples. Thread: one at a time.
 */
final class ConvergenceJudge {
    /** One half of what is looked at. */
    static final long SPAN_NANOS = 4_000_000_000L;

    /** Until something has been measured. */
    private static final long ASSUMED_BYTES_PER_SECOND = 64L << 20;

    private static final double HARDLY_BETTER = 0.9;
    private static final double MUCH_BETTER = 0.6;
    private static final double HALF_LIFE_SECONDS = 1;
    private static final double NANOS = 1e9;
    private static final double NANOS_PER_MILLI = 1e6;
    private static final double MIB = 1 << 20;

    /**
     * What was measured since the sample before.
     *
     * @param atNanos when
     * @param busyNanos how long the copier had something to do
     * @param copiedBytes what it copied in that time
     * @param comparedBytes what was compared
     * @param comparingNanos in what time
     * @param dirtyBytesPerSecond what the guest changed in the last second
     * @param leftBytes in regions that are not in step
     * @param unprovedBytes in regions that are to be compared yet; 0 if none are
     * @param flushNanos what the last flush of both sides took
     * @param iterations of the copier
     */
    record Sample(
            long atNanos,
            long busyNanos,
            long copiedBytes,
            long comparedBytes,
            long comparingNanos,
            long dirtyBytesPerSecond,
            long leftBytes,
            long unprovedBytes,
            long flushNanos,
            int iterations) {}

    private record Point(long atNanos, double downtimeNanos) {}

    /** Bytes in a time, old ones counting less. */
    private static final class Rate {
        private double bytes;
        private double seconds;

        void add(long moreBytes, long nanos) {
            if (nanos > 0) {
                double passed = nanos / NANOS;
                double keep = Math.pow(0.5, passed / HALF_LIFE_SECONDS);
                bytes = bytes * keep + moreBytes;
                seconds = seconds * keep + passed;
            }
        }

        double perSecond() {
            return seconds == 0 || bytes == 0 ? 0 : bytes / seconds;
        }
    }

    private final long maxDowntimeNanos;
    private final Rate copying = new Rate();
    private final Rate comparing = new Rate();
    private final ArrayDeque<Point> points = new ArrayDeque<>();
    private @Nullable Sample last;
    private boolean converges = true;

    ConvergenceJudge(long maxDowntimeNanos) {
        this.maxDowntimeNanos = maxDowntimeNanos;
    }

    void add(Sample sample) {
        copying.add(sample.copiedBytes(), sample.busyNanos());
        comparing.add(sample.comparedBytes(), sample.comparingNanos());
        last = sample;
        if (sample.iterations() < 2) {
            return;
        }
        points.addLast(new Point(sample.atNanos(), downtimeNanos(sample.leftBytes(), sample.unprovedBytes())));
        while (points.getFirst().atNanos() < sample.atNanos() - 2 * SPAN_NANOS) {
            points.removeFirst();
        }
        judge(sample.atNanos());
    }

    /** Nothing was meant to happen: what was seen before is no measure for what comes. */
    void interrupt() {
        points.clear();
        converges = true;
    }

    private void judge(long nowNanos) {
        double before = Double.MAX_VALUE;
        double lately = Double.MAX_VALUE;
        for (Point point : points) {
            if (point.atNanos() < nowNanos - SPAN_NANOS) {
                before = Math.min(before, point.downtimeNanos());
            } else {
                lately = Math.min(lately, point.downtimeNanos());
            }
        }
        boolean whole = points.getFirst().atNanos() <= nowNanos - 2 * SPAN_NANOS + SPAN_NANOS / 8;
        // Once it has been said that it does not converge, noise must not unsay it.
        if (lately <= maxDowntimeNanos || lately < before * (converges ? HARDLY_BETTER : MUCH_BETTER)) {
            converges = true;
        } else if (whole) {
            converges = false;
        }
    }

    /** What the copy makes, in bytes a second; what is assumed until that has been measured. */
    double copyBytesPerSecond() {
        double measured = copying.perSecond();
        return measured > 0 ? measured : ASSUMED_BYTES_PER_SECOND;
    }

    /** How long the guest would be held for so much. */
    double downtimeNanos(long leftBytes, long unprovedBytes) {
        double compared = comparing.perSecond() > 0 ? comparing.perSecond() : copyBytesPerSecond();
        Sample now = last;
        long flushNanos = now == null ? 0 : now.flushNanos();
        return leftBytes / copyBytesPerSecond() * NANOS + unprovedBytes / compared * NANOS + flushNanos;
    }

    Convergence verdict() {
        Sample now = last;
        if (now == null) {
            return new Convergence(true, 0, 0, 0, 0, 0, maxDowntimeNanos / NANOS_PER_MILLI, null);
        }
        double downtimeNanos = downtimeNanos(now.leftBytes(), now.unprovedBytes());
        return new Convergence(
                converges,
                now.iterations(),
                now.dirtyBytesPerSecond(),
                Math.round(copying.perSecond()),
                now.leftBytes(),
                Math.round(downtimeNanos / NANOS_PER_MILLI * 10) / 10.0,
                maxDowntimeNanos / NANOS_PER_MILLI,
                converges ? null : advice(now, downtimeNanos));
    }

    private String advice(Sample now, double downtimeNanos) {
        String why = now.dirtyBytesPerSecond() >= copyBytesPerSecond()
                ? String.format(
                        Locale.ROOT,
                        "guest dirties %.0f MiB/s, the copy makes %.0f",
                        now.dirtyBytesPerSecond() / MIB,
                        copyBytesPerSecond() / MIB)
                : String.format(
                        Locale.ROOT,
                        "guest keeps %.0f MiB dirty, which would hold it for %.0f ms of the %.0f allowed",
                        now.leftBytes() / MIB,
                        downtimeNanos / NANOS_PER_MILLI,
                        maxDowntimeNanos / NANOS_PER_MILLI);
        return "will not converge: " + why + "; change with 'ferry migration mode ID mirror'";
    }
}
