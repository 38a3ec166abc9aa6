package dev.ferry.migration.copy;

import dev.ferry.block.Invariant;
import org.jspecify.annotations.Nullable;

/**
 * What a guest may be made to feel.
 *
 * @param maxAddedNanos how much the work may add to the guest's 99th percentile of latency; 0: not bounded, though a guest
 *     that is at work is given more room than one that is not
 * @param floorBytesPerSecond what is worked off in any case, so that there is an end; above 0
 * @param mirroring whether it waits for the target; null: by how long the target takes to answer
 */
public record PaceSettings(
        long maxAddedNanos,
        long floorBytesPerSecond,
        @Nullable Mirroring mirroring) {
    /** No bound; a floor of 8 MiB a second. */
    public static final PaceSettings DEFAULT = new PaceSettings(0, 8L << 20);

    /** By the latency of the target. */
    public PaceSettings(long maxAddedNanos, long floorBytesPerSecond) {
        this(maxAddedNanos, floorBytesPerSecond, null);
    }

    public PaceSettings {
        Invariant.that(maxAddedNanos >= 0, "latency that may be added");
        Invariant.that(floorBytesPerSecond > 0, "floor of the pace");
    }
}
