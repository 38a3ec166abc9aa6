package dev.ferry.filter.mirror;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;

/** Stands where a target will be: nothing is to be asked of it, and it answers that it is away. */
record AbsentDevice(Geometry geometry) implements BlockDevice {
    @Override
    public Capabilities capabilities() {
        return Capabilities.ALL;
    }

    private static void away(String operation, Completion completion) {
        completion.complete(BlockError.of(ErrorKind.UNAVAILABLE, "target", operation, "there is none yet"));
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        away("read", completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        away("write", completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        away("zero", completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        away("discard", completion);
    }

    @Override
    public void flush(Completion completion) {
        away("flush", completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        away("extents", completion);
    }

    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }
}
