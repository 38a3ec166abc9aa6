package dev.ferry.migration;

import org.jspecify.annotations.Nullable;

/**
 * How fast a number grows: a mean that forgets, with a half-life of {@value #HALF_LIFE_SECONDS} seconds of running.
 * Thread: one at a time.
 */
public final class SpeedMeter {
    private static final double HALF_LIFE_SECONDS = 3;

    private long lastNanos;
    private long lastBytes = -1;
    private double weightedBytes;
    private double weightedSeconds;

    /** Says how far it is. The first word, and the first after {@link #restart}, only sets the mark. */
    public void sample(long nanos, long bytes) {
        if (lastBytes < 0 || bytes < lastBytes) {
            lastBytes = bytes;
            lastNanos = nanos;
            return;
        }
        double seconds = (nanos - lastNanos) / 1e9;
        if (seconds <= 0) {
            return;
        }
        double keep = Math.pow(0.5, seconds / HALF_LIFE_SECONDS);
        weightedBytes = weightedBytes * keep + (bytes - lastBytes);
        weightedSeconds = weightedSeconds * keep + seconds;
        lastBytes = bytes;
        lastNanos = nanos;
    }

    /** The time up to the next sample does not count: nothing was meant to happen. */
    public void restart() {
        lastBytes = -1;
    }

    public long bytesPerSecond() {
        return weightedSeconds == 0 ? 0 : Math.round(weightedBytes / weightedSeconds);
    }

    /** Seconds that the rest will take at this speed; null where nobody knows. */
    public @Nullable Long secondsFor(long restBytes) {
        long speed = bytesPerSecond();
        if (restBytes <= 0) {
            return 0L;
        }
        return speed <= 0 ? null : Long.valueOf((restBytes + speed - 1) / speed);
    }
}
