package dev.ferry.filter.mirror;

import dev.ferry.block.Invariant;

/**
 * How a mirror works.
 *
 * @param regionBytes what is copied and held as one; a power of two from 64 KiB to 64 MiB
 * @param targetStallNanos how long one request to the target may take, and how long a guest's change may wait for the
 *     copy of its region, before the mirror lets go
 * @param targetIsZero the target reads as zeroes where the mirror has not written: a fresh thin file. If not, holes and
 *     zeroes are zeroed there
 */
public record MirrorSettings(int regionBytes, long targetStallNanos, boolean targetIsZero) {
    /** Regions of 1 MiB, ten seconds, a fresh target. */
    public static final MirrorSettings DEFAULT = new MirrorSettings(1 << 20, 10_000_000_000L, true);

    public MirrorSettings {
        Invariant.that(
                Integer.bitCount(regionBytes) == 1 && regionBytes >= 64 << 10 && regionBytes <= 64 << 20,
                "size of a region");
        Invariant.that(targetStallNanos > 0, "bound on a stall");
    }
}
