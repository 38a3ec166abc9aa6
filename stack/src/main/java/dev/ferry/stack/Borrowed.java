package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;

/** A device that belongs to somebody else: whoever has this may use it, and does not close it. */
record Borrowed(BlockDevice owned) implements BlockDevice {
    @Override
    public Geometry geometry() {
        return owned.geometry();
    }

    @Override
    public Capabilities capabilities() {
        return owned.capabilities();
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        owned.read(offset, buffer, at, length, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        owned.write(offset, buffer, at, length, flags, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        owned.writeZeroes(offset, length, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        owned.discard(offset, length, flags, completion);
    }

    @Override
    public void flush(Completion completion) {
        owned.flush(completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        owned.extents(offset, length, sink, completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return owned.locate(offset, length, range);
    }

    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }
}
