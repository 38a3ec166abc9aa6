package dev.ferry.migration.copy;

import dev.ferry.filter.mirror.TrailSettings;
import java.util.SplittableRandom;

/** Bounds for a target that trails, narrow enough to be reached again and again. */
final class SimulatedTrail {
    private static final long MILLIS = 1_000_000L;

    private SimulatedTrail() {}

    static TrailSettings bounds(SplittableRandom random) {
        return new TrailSettings(
                (64 << 10) << random.nextInt(4),
                2 + random.nextInt(30),
                MILLIS / 10 + random.nextLong(8 * MILLIS),
                MILLIS / 10 + random.nextLong(3 * MILLIS));
    }
}
