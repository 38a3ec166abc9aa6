package dev.ferry.migration;

import java.util.Locale;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Estimates when a move will be done, from what was measured of it, as a range that only narrows: what is shown is the
 * part of the new estimate that lies within what was shown before. Only where the two have nothing in common does the
 * range move, and then it says why: what is to be done became more, or less; a bound was set; it stood still; it became
 * faster, or slower.
 *
 * <pre>
 *   shown     |───────────────|
 *   estimate        |──────────────|            shown next  |─────────|
 *   estimate                          |─────|   shown next              |─────|   and why
 * </pre>
 *
 * <p>How wide an estimate is follows from how much the speed varied from second to second, and over how many seconds it
 * was measured. The speed of a comparison that has not begun is taken from that of the copy, within wide bounds.
 *
 * <p>A pure function of its samples. Thread: one at a time.
 */
final class EtaEstimator {
    private static final long BUCKET_NANOS = 1_000_000_000L;
    private static final double NANOS = 1e9;
    private static final double HALF_LIFE_BUCKETS = 12;
    private static final double SHARE_MIN = 0.1;
    private static final double SHARE_MAX = 0.6;
    /** How far the mean of some seconds may be from that of the rest, in standard errors. */
    private static final double ERRORS = 2.5;
    /** How long a comparison takes that has not begun, against the copy of the same bytes. */
    private static final double COMPARED_EARLIEST = 0.2;

    private static final double COMPARED_LATEST = 2;
    /** Below this part of its speed, what a guest changes behind it leaves a copy no way forward. */
    private static final double HEADWAY_MIN = 0.1;

    private static final double MUCH = 0.05;
    private static final double MIB = 1 << 20;

    /**
     * How far a move is.
     *
     * @param atNanos when
     * @param stopped why nothing is meant to happen, such as {@code paused}; null if something is
     * @param doneBytes copied so far; what is copied again counts again
     * @param restBytes to be copied, as far as is known
     * @param dirtyBytesPerSecond what the guest changes behind the copy
     * @param comparedBytes compared so far
     * @param toCompareBytes to be compared yet; 0 if nothing is
     * @param comparing the copy is over, and the comparison is under way
     * @param rateBytesPerSecond bound on both; 0: none
     */
    record Sample(
            long atNanos,
            @Nullable String stopped,
            long doneBytes,
            long restBytes,
            long dirtyBytesPerSecond,
            long comparedBytes,
            long toCompareBytes,
            boolean comparing,
            long rateBytesPerSecond) {}

    /** Bytes a second, in seconds of which old ones count less: mean, and how much it may be wrong. */
    private static final class Speed {
        private double weight;
        private double sum;
        private double squares;
        private int buckets;

        void add(double bytesPerSecond) {
            double keep = Math.pow(0.5, 1 / HALF_LIFE_BUCKETS);
            weight = weight * keep + 1;
            sum = sum * keep + bytesPerSecond;
            squares = squares * keep + bytesPerSecond * bytesPerSecond;
            buckets++;
        }

        void forget() {
            weight = 0;
            sum = 0;
            squares = 0;
            buckets = 0;
        }

        boolean known() {
            return buckets >= 2 && sum > 0;
        }

        double mean() {
            return weight == 0 ? 0 : sum / weight;
        }

        /** Part of the mean that it may be away from the truth. */
        double share() {
            double mean = mean();
            double variance = Math.max(0, squares / weight - mean * mean);
            double error = Math.sqrt(variance / weight) / mean;
            return Math.clamp(SHARE_MIN + ERRORS * error, SHARE_MIN, SHARE_MAX);
        }
    }

    /** Two instants, in seconds since some fixed one. */
    private record Span(double from, double to) {}

    private final Speed copying = new Speed();
    private final Speed comparing = new Speed();
    private @Nullable Sample bucketStart;
    private @Nullable Sample last;
    private @Nullable Span shown;
    private @Nullable Sample shownAt;
    private double shownSpeed;
    private @Nullable String stoppedFor;
    private double stoppedSeconds;
    private @Nullable String moved;

    void add(Sample sample) {
        Sample before = last;
        last = sample;
        if (sample.stopped() != null) {
            stand(before, sample);
            bucketStart = null;
            return;
        }
        if (before != null && before.rateBytesPerSecond() != sample.rateBytesPerSecond()) {
            copying.forget();
            comparing.forget();
            bucketStart = null;
        }
        Sample start = bucketStart;
        if (start == null || start.comparing() != sample.comparing() || sample.doneBytes() < start.doneBytes()) {
            bucketStart = sample;
        } else if (sample.atNanos() - start.atNanos() >= BUCKET_NANOS) {
            double seconds = (sample.atNanos() - start.atNanos()) / NANOS;
            if (sample.comparing()) {
                comparing.add(Math.max(0, sample.comparedBytes() - start.comparedBytes()) / seconds);
            } else {
                copying.add((sample.doneBytes() - start.doneBytes()) / seconds);
            }
            bucketStart = sample;
        }
        show(sample);
    }

    private void stand(@Nullable Sample before, Sample sample) {
        stoppedFor = sample.stopped();
        if (before != null && before.stopped() != null) {
            stoppedSeconds += (sample.atNanos() - before.atNanos()) / NANOS;
        }
    }

    // ---- what is shown

    private void show(Sample now) {
        Span fresh = estimate(now);
        Span old = shown;
        if (fresh == null) {
            return;
        }
        if (old == null) {
            remember(fresh, now);
            return;
        }
        double from = Math.max(old.from(), fresh.from());
        double to = Math.min(old.to(), fresh.to());
        if (from <= to) {
            shown = new Span(from, to);
            return;
        }
        moved = reason(now, fresh.from() > old.to());
        remember(fresh, now);
    }

    private void remember(Span fresh, Sample now) {
        shown = fresh;
        shownAt = now;
        shownSpeed = speed(now).mean();
        stoppedFor = null;
        stoppedSeconds = 0;
    }

    private Speed speed(Sample now) {
        return now.comparing() ? comparing : copying;
    }

    private @Nullable Span estimate(Sample now) {
        double seconds = now.atNanos() / NANOS;
        Span copy = copySpan(now);
        Span compare = copy == null ? null : compareSpan(now);
        return copy == null || compare == null
                ? null
                : new Span(seconds + copy.from() + compare.from(), seconds + copy.to() + compare.to());
    }

    private @Nullable Span copySpan(Sample now) {
        if (now.restBytes() == 0 || now.comparing()) {
            return new Span(0, 0);
        }
        double headway = copying.mean() - now.dirtyBytesPerSecond();
        if (!copying.known() || headway < copying.mean() * HEADWAY_MIN) {
            return null;
        }
        return span(now.restBytes() / headway, copying.share());
    }

    private @Nullable Span compareSpan(Sample now) {
        if (now.toCompareBytes() == 0) {
            return new Span(0, 0);
        }
        if (comparing.known()) {
            return span(now.toCompareBytes() / comparing.mean(), comparing.share());
        }
        if (!copying.known()) {
            return null;
        }
        double asCopied = Math.min(now.toCompareBytes(), now.doneBytes() + now.restBytes()) / copying.mean();
        return new Span(asCopied * COMPARED_EARLIEST, asCopied * COMPARED_LATEST);
    }

    private static Span span(double seconds, double share) {
        return new Span(seconds * (1 - share), seconds * (1 + share));
    }

    /** The largest of what has changed since the range was shown that it left. */
    private String reason(Sample now, boolean later) {
        Sample then = Objects.requireNonNull(shownAt);
        if (stoppedFor != null && later) {
            return String.format(Locale.ROOT, "it was %s for %.0f s", stoppedFor, stoppedSeconds);
        }
        if (now.rateBytesPerSecond() != then.rateBytesPerSecond()) {
            return now.rateBytesPerSecond() == 0
                    ? "its bound was lifted"
                    : String.format(Locale.ROOT, "it was bounded to %.1f MiB/s", now.rateBytesPerSecond() / MIB);
        }
        long whole = now.doneBytes() + now.restBytes() - then.doneBytes() - then.restBytes();
        if (Math.abs(whole) > MUCH * (then.doneBytes() + then.restBytes()) && later == whole > 0) {
            return String.format(
                    Locale.ROOT,
                    "there are %.0f MiB %s to copy than there seemed to be",
                    Math.abs(whole) / MIB,
                    whole > 0 ? "more" : "fewer");
        }
        if (then.comparing() && !now.comparing()) {
            return "something has to be copied again";
        }
        String what = now.comparing() ? "the comparison" : "the copy";
        double speed = speed(now).mean();
        return now.comparing() == then.comparing()
                ? String.format(
                        Locale.ROOT, "%s makes %.0f MiB/s and no longer %.0f", what, speed / MIB, shownSpeed / MIB)
                : String.format(Locale.ROOT, "%s makes %.0f MiB/s", what, speed / MIB);
    }

    /** What to show; null as long as nobody knows. */
    @Nullable
    EtaRange range() {
        Span now = shown;
        Sample sample = last;
        if (now == null || sample == null || sample.stopped() != null) {
            return null;
        }
        double seconds = sample.atNanos() / NANOS;
        long earliest = (long) Math.floor(Math.max(0, now.from() - seconds));
        long latest = (long) Math.ceil(Math.max(0, now.to() - seconds));
        return new EtaRange(earliest, Math.max(earliest, latest), moved);
    }
}
