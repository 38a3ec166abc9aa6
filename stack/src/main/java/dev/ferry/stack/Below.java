package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;

/**
 * Stands below an overlay that is looked at by itself: what it has not got comes from elsewhere, which its extents say by {@link
 * ExtentSink#HOLE} without {@link ExtentSink#ZERO}. Thread: the loop's.
 */
record Below(Geometry geometry) implements BlockDevice {
    @Override
    public Capabilities capabilities() {
        return Capabilities.ALL;
    }

    private static void nothing(Completion completion) {
        completion.complete(BlockError.of(ErrorKind.UNSUPPORTED, "overlay", "use", "it is looked at by itself"));
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        nothing(completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        nothing(completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        nothing(completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        nothing(completion);
    }

    @Override
    public void flush(Completion completion) {
        nothing(completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        sink.extent(offset, length, ExtentSink.HOLE);
        completion.complete(null);
    }

    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }
}
