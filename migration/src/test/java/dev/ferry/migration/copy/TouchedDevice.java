package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;

/** Tells of each change when it begins and when it ends. */
record TouchedDevice(BlockDevice next, Touch touch) implements BlockDevice {
    interface Touch {
        void touched(long offset, long length);
    }

    private Completion both(long offset, long length, Completion completion) {
        touch.touched(offset, length);
        return error -> {
            touch.touched(offset, length);
            completion.complete(error);
        };
    }

    @Override
    public Geometry geometry() {
        return next.geometry();
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
        next.write(offset, buffer, at, length, flags, both(offset, length, completion));
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        next.writeZeroes(offset, length, flags, both(offset, length, completion));
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        next.discard(offset, length, flags, both(offset, length, completion));
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
