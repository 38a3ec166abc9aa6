package dev.ferry.migration.rehearsal;

import dev.ferry.migration.rehearsal.RehearsalReport.Range;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** How long requests of one length took. Does not change. */
final class Times {
    private static final double NANOS_PER_MILLI = 1e6;
    private static final double NANOS_PER_SECOND = 1e9;
    private static final int TENTH = 10;

    private final long[] sortedNanos;
    private final long bytes;

    /**
     * @param nanos of each request; becomes the property of this
     * @param bytes in each request
     */
    Times(long[] nanos, long bytes) {
        Arrays.sort(nanos);
        this.sortedNanos = nanos;
        this.bytes = bytes;
    }

    int count() {
        return sortedNanos.length;
    }

    /** Bytes in all requests. */
    long bytes() {
        return bytes * count();
    }

    long totalNanos() {
        return Arrays.stream(sortedNanos).sum();
    }

    /** What they moved in a second, without the slowest tenth and the quickest; null if there were none. */
    @Nullable
    Range bytesPerSecond() {
        if (count() == 0) {
            return null;
        }
        int edge = count() / TENTH;
        return new Range(perSecond(sortedNanos[count() - 1 - edge]), perSecond(sortedNanos[edge]));
    }

    private double perSecond(long nanos) {
        return bytes * NANOS_PER_SECOND / Math.max(1, nanos);
    }

    /** The middle one, and the slowest of a hundred; null if there were none. */
    @Nullable
    Range millis() {
        return count() == 0
                ? null
                : new Range(
                        sortedNanos[count() / 2] / NANOS_PER_MILLI,
                        sortedNanos[Math.min(count() - 1, count() * 99 / 100)] / NANOS_PER_MILLI);
    }
}
