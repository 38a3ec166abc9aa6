package dev.ferry.filter.mirror;

import dev.ferry.block.Invariant;

/**
 * How far a target may be behind that trails.
 *
 * @param bytesMax of the guest's writes that the target has not got yet; memory for as many is taken once
 * @param changesMax changes that the target has not got yet
 * @param ageNanosMax as long as the oldest of them is older than this, nothing is added
 * @param waitNanosMax how long a change of the guest waits, when nothing can be added, before it goes to the source alone
 *     and its regions are pending again
 */
public record TrailSettings(int bytesMax, int changesMax, long ageNanosMax, long waitNanosMax) {
    /** 16 MiB, 2048 changes, one second; a guest waits for half a second. */
    public static final TrailSettings DEFAULT = new TrailSettings(16 << 20, 2048, 1_000_000_000L, 500_000_000L);

    private static final int PARTS = 4;
    private static final int BYTES_MIN = 64 << 10;
    private static final int BYTES_MAX = 1 << 30;

    public TrailSettings {
        Invariant.that(
                Integer.bitCount(bytesMax) == 1 && bytesMax >= BYTES_MIN && bytesMax <= BYTES_MAX,
                "bytes that a target may be behind");
        Invariant.that(changesMax > 0 && ageNanosMax > 0 && waitNanosMax > 0, "bounds of a target that trails");
    }

    /** A longer write goes in parts, so that one alone never needs all the room. */
    int partBytes() {
        return bytesMax / PARTS;
    }
}
