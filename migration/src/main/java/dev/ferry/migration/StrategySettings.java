package dev.ferry.migration;

import dev.ferry.block.Invariant;
import dev.ferry.filter.mirror.MirrorSettings;

/**
 * The strategy of a move.
 *
 * @param strategy the one by which it goes on
 * @param begun the one by which it began; what is recorded of what is in step counts in that one's regions
 * @param maxDowntimeNanos how long the guest may be held for the last of the copy, where the strategy does that
 */
public record StrategySettings(Strategy strategy, Strategy begun, long maxDowntimeNanos) {
    /** The same as QEMU's. */
    public static final long MAX_DOWNTIME_NANOS = 300_000_000L;

    public static final StrategySettings DEFAULT = of(Strategy.MIRROR, MAX_DOWNTIME_NANOS);

    private static final int TRACKED_BYTES_MIN = 64 << 10;
    private static final long TRACKED_REGIONS_MAX = 16 << 20;

    public StrategySettings {
        Invariant.that(maxDowntimeNanos > 0, "bound on a downtime");
    }

    public static StrategySettings of(Strategy strategy, long maxDowntimeNanos) {
        return new StrategySettings(strategy, strategy, maxDowntimeNanos);
    }

    public StrategySettings with(Strategy other) {
        return new StrategySettings(other, begun, maxDowntimeNanos);
    }

    /**
     * What is copied, and copied again, as one. What is copied again should be little more than what was changed, so
     * regions are small where there are not too many of them: 64 KiB up to 1 TiB, 1 MiB at 16 TiB.
     *
     * @param mirrored the size of a region of a mirror
     */
    int regionBytes(long sizeBytes, int mirrored) {
        if (begun == Strategy.MIRROR) {
            return mirrored;
        }
        long bytes = TRACKED_BYTES_MIN;
        while ((sizeBytes + bytes - 1) / bytes > TRACKED_REGIONS_MAX) {
            bytes *= 2;
        }
        return Math.toIntExact(bytes);
    }

    MirrorSettings regionsOf(long sizeBytes, MirrorSettings mirror) {
        return mirror.withRegions(regionBytes(sizeBytes, mirror.regionBytes()));
    }
}
