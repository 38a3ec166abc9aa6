package dev.ferry.filter;

import java.util.Objects;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/** Latencies of one kind of request: lately, and in all. Takes no memory before the first request. */
final class LatencyRecord {
    private static final long LOWEST_NANOS = 64;
    private static final long HIGHEST_NANOS = 60_000_000_000L;

    private long count;
    private long bytes;
    private long errors;
    private @Nullable Histogram total;
    private @Nullable Histogram previous;
    private @Nullable Histogram current;

    void record(long nanos, long length, boolean failed) {
        count++;
        if (failed) {
            errors++;
        } else {
            bytes += length;
        }
        Histogram histogram = current;
        if (histogram == null) {
            total = histogram();
            previous = histogram();
            histogram = histogram();
            current = histogram;
        }
        histogram.recordValue(Math.max(0, Math.min(nanos, HIGHEST_NANOS)));
    }

    private static Histogram histogram() {
        return new Histogram(LOWEST_NANOS, HIGHEST_NANOS, 2);
    }

    /** The current window becomes the previous one. */
    void rotate() {
        Histogram ended = current;
        Histogram older = previous;
        if (ended != null && older != null) {
            Objects.requireNonNull(total).add(older);
            older.reset();
            previous = ended;
            current = older;
        }
    }

    StatsSnapshot.Operation snapshot() {
        Histogram recent = current;
        Histogram all = total;
        if (recent == null || all == null) {
            return new StatsSnapshot.Operation(
                    count, bytes, errors, StatsSnapshot.Latency.NONE, StatsSnapshot.Latency.NONE);
        }
        Histogram lately = recent.copy();
        lately.add(Objects.requireNonNull(previous));
        Histogram sum = all.copy();
        sum.add(lately);
        return new StatsSnapshot.Operation(count, bytes, errors, latency(sum), latency(lately));
    }

    private static StatsSnapshot.Latency latency(Histogram histogram) {
        return new StatsSnapshot.Latency(
                histogram.getTotalCount(),
                histogram.getValueAtPercentile(50),
                histogram.getValueAtPercentile(99),
                histogram.getValueAtPercentile(99.9),
                histogram.getMaxValue());
    }
}
