package dev.ferry.image.sparse;

import dev.ferry.block.ExtentSink;
import dev.ferry.block.Invariant;

/**
 * How long the files of an image get that is to hold what another disk does, where room is taken grain by grain: told of the extents of
 * that disk, in order, and then asked. Thread: any, one at a time.
 */
public final class GrainMeasure implements ExtentSink {
    private final long grains;
    private final long grainBytes;
    private final long grainFileBytes;
    private final long emptyBytes;
    private long needed;
    /** Behind the last grain that was counted. */
    private long counted;

    /**
     * @param sizeBytes of the disk
     * @param grainBytes of the disk that take up room together
     * @param grainFileBytes the room that they take up
     * @param emptyBytes files of the image while nothing is in it
     */
    public GrainMeasure(long sizeBytes, long grainBytes, long grainFileBytes, long emptyBytes) {
        Invariant.that(sizeBytes >= 0 && grainBytes > 0, "sizes");
        this.grains = Math.ceilDiv(sizeBytes, grainBytes);
        this.grainBytes = grainBytes;
        this.grainFileBytes = grainFileBytes;
        this.emptyBytes = emptyBytes;
    }

    /** Of an image that is as long from the start as it ever gets. */
    public static GrainMeasure fixed(long fileBytes) {
        return new GrainMeasure(0, 1, 0, fileBytes);
    }

    /** Counts the grains that data lies in; zeroes and holes need none. */
    @Override
    public void extent(long offset, long length, int state) {
        if (state != 0 || length == 0) {
            return;
        }
        long from = Math.max(counted, offset / grainBytes);
        long to = Math.ceilDiv(offset + length, grainBytes);
        needed += Math.max(0, to - from);
        counted = Math.max(counted, to);
    }

    /** With the data that was told of, in bytes. */
    public long requiredBytes() {
        return emptyBytes + needed * grainFileBytes;
    }

    /** With every grain of the disk written, in bytes. */
    public long fullyAllocatedBytes() {
        return emptyBytes + grains * grainFileBytes;
    }
}
