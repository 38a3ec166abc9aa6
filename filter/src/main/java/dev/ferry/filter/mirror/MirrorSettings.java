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
 * @param belowBytes so much of the disk, from the beginning on, both sides lie over the same content: what neither has of its own is
 *     the same on both, and stays below; 0: they lie over nothing, or it is none of the mirror's business
 */
public record MirrorSettings(int regionBytes, long targetStallNanos, boolean targetIsZero, long belowBytes) {
    /** Regions of 1 MiB, ten seconds, a fresh target. */
    public static final MirrorSettings DEFAULT = new MirrorSettings(1 << 20, 10_000_000_000L, true);

    /** Of sides that lie over nothing in common. */
    public MirrorSettings(int regionBytes, long targetStallNanos, boolean targetIsZero) {
        this(regionBytes, targetStallNanos, targetIsZero, 0);
    }

    /** The same with a target of which nobody knows what is in it. */
    public MirrorSettings withoutZeroTarget() {
        return new MirrorSettings(regionBytes, targetStallNanos, false, belowBytes);
    }

    /** The same with regions of another size. */
    public MirrorSettings withRegions(int bytes) {
        return new MirrorSettings(bytes, targetStallNanos, targetIsZero, belowBytes);
    }

    /** The same with sides that lie over so much of the same content. */
    public MirrorSettings over(long bytes) {
        return new MirrorSettings(regionBytes, targetStallNanos, targetIsZero, bytes);
    }

    public MirrorSettings {
        Invariant.that(
                Integer.bitCount(regionBytes) == 1 && regionBytes >= 64 << 10 && regionBytes <= 64 << 20,
                "size of a region");
        Invariant.that(targetStallNanos > 0, "bound on a stall");
        Invariant.that(belowBytes >= 0, "what sides lie over");
    }
}
