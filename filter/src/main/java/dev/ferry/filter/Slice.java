package dev.ferry.filter;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.Geometry;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;

/** A part of a device as a device of its own: a partition, say. Thread: the loop's. */
public final class Slice extends FilterDevice {
    private final long from;
    private final Geometry geometry;

    /**
     * @param from where the part begins, a multiple of the block size
     * @param sizeBytes its length; a multiple of the block size unless it reaches to the device's end
     */
    public Slice(BlockDevice next, long from, long sizeBytes) {
        super(next);
        Geometry below = next.geometry();
        Invariant.that(fits(below, from, sizeBytes), "a slice lies within its device, in whole blocks");
        this.from = from;
        this.geometry =
                new Geometry(sizeBytes, below.blockSizeBytes(), below.preferredBytes(), below.maxTransferBytes());
    }

    /** True if a device can be sliced so. */
    public static boolean fits(Geometry device, long from, long sizeBytes) {
        long mask = device.blockSizeBytes() - 1L;
        return from >= 0
                && sizeBytes >= 0
                && sizeBytes <= device.sizeBytes() - from
                && (from & mask) == 0
                && ((sizeBytes & mask) == 0 || from + sizeBytes == device.sizeBytes());
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        next.read(from + offset, buffer, at, length, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        next.write(from + offset, buffer, at, length, flags, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        next.writeZeroes(from + offset, length, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        next.discard(from + offset, length, flags, completion);
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        next.extents(from + offset, length, (at, bytes, state) -> sink.extent(at - from, bytes, state), completion);
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        next.ownExtents(from + offset, length, (at, bytes, state) -> sink.extent(at - from, bytes, state), completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return next.locate(from + offset, length, range);
    }

    @Override
    public void located(long offset, int length, long nanos) {
        next.located(from + offset, length, nanos);
    }

    @Override
    public String toString() {
        return next.toString();
    }
}
