package dev.ferry.filter.mirror;

import dev.ferry.block.Invariant;

/**
 * How closely the record of regions in step follows the mirror.
 *
 * @param tickNanos a region that was not written for so long is closed: a crash of the process leaves it in step
 * @param checkpointNanos how often both sides are flushed so that a loss of power leaves in step what was not written lately
 * @param markRegions regions that a mark takes in at once, a power of two: more of them cost a guest that writes all over
 *     a large disk fewer waits, and more to copy again after a loss of power
 */
public record StepSettings(long tickNanos, long checkpointNanos, int markRegions) {
    private static final long MARKS_MAX = 16 << 10;

    public StepSettings {
        Invariant.that(tickNanos > 0 && checkpointNanos > 0, "time between two looks at the regions");
        Invariant.that(Integer.bitCount(markRegions) == 1, "regions to a mark");
    }

    /** A quarter of a second, five seconds, and as many regions to a mark that there are some thousands of marks. */
    public static StepSettings forRegions(long regions) {
        long each = Long.highestOneBit(Math.max(1, regions / MARKS_MAX));
        return new StepSettings(250_000_000L, 5_000_000_000L, (int) Math.min(each, 1 << 16));
    }
}
