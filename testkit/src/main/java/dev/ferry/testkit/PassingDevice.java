package dev.ferry.testkit;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.IoBuffer;

/**
 * Passes every request on to the next device, and says of no range where it lies, so that all of them come by. A test
 * overrides what it wants to see or to change. Thread: the loop's.
 */
public class PassingDevice extends FilterDevice {
    public PassingDevice(BlockDevice next) {
        super(next);
    }

    /** What hears of the end of a request, be it of any kind but close, instead of who submitted it. */
    protected Completion ending(Completion completion) {
        return completion;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        next.read(offset, buffer, at, length, ending(completion));
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        next.write(offset, buffer, at, length, flags, ending(completion));
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        next.writeZeroes(offset, length, flags, ending(completion));
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        next.discard(offset, length, flags, ending(completion));
    }

    @Override
    public void flush(Completion completion) {
        next.flush(ending(completion));
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        next.extents(offset, length, sink, ending(completion));
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return false;
    }
}
