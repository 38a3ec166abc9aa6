package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;

/** A device that shows the first part of a larger one, as an image does in a file that was rounded up. */
record CutDevice(BlockDevice next, long sizeBytes) implements BlockDevice {
    @Override
    public Geometry geometry() {
        return Geometry.ofBytes(sizeBytes);
    }

    @Override
    public Capabilities capabilities() {
        return next.capabilities();
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        next.read(offset, buffer, at, length, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        next.write(offset, buffer, at, length, flags, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        next.writeZeroes(offset, length, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        next.discard(offset, length, flags, completion);
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        next.extents(offset, length, sink, completion);
    }

    @Override
    public void close(Completion completion) {
        next.close(completion);
    }
}
