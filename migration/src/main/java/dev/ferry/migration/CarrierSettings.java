package dev.ferry.migration;

import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.migration.copy.CopierSettings;
import java.util.concurrent.Executor;
import java.util.function.LongFunction;

/**
 * What every carrier works with.
 *
 * @param steps how closely what is in step is recorded, for so many regions
 * @param workers where bytes are compared and digested
 * @param roundNanosMin how long a round of snapshots takes at least
 */
record CarrierSettings(
        MirrorSettings mirror,
        LongFunction<StepSettings> steps,
        CopierSettings copier,
        Executor workers,
        long roundNanosMin) {
    /** A round is worth an overlay only if something has been copied in it. */
    static final long ROUND_NANOS_MIN = 1_000_000_000L;

    /** The carrier of a disk, by the strategy of its move. */
    Carrier.Factory factory() {
        return (disk, events, strategy, layered) -> {
            MirrorSettings regions = strategy.regionsOf(disk.sizeBytes(), mirror);
            CarrierSettings settings = with(layered ? regions.over(disk.side().belowBytes()) : regions);
            return switch (strategy.strategy()) {
                case MIRROR -> new MirrorCarrier(disk, events, settings);
                case SNAPSHOT -> new SnapshotCarrier(disk, events, settings, strategy.maxDowntimeNanos());
                case TRACKING -> new TrackingCarrier(disk, events, settings, strategy.maxDowntimeNanos());
            };
        };
    }

    CarrierSettings with(MirrorSettings other) {
        return new CarrierSettings(other, steps, copier, workers, roundNanosMin);
    }

    CarrierSettings withCopiesAtOnce(int regions) {
        CopierSettings more =
                new CopierSettings(Math.max(regions, copier.depth()), copier.chunkBytes(), copier.bytesPerSecond());
        return new CarrierSettings(mirror, steps, more, workers, roundNanosMin);
    }
}
