package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.PassingDevice;

/** Tells of each change when it begins and when it ends. */
final class TouchedDevice extends PassingDevice {
    interface Touch {
        void touched(long offset, long length);
    }

    private final Touch touch;

    TouchedDevice(BlockDevice next, Touch touch) {
        super(next);
        this.touch = touch;
    }

    private Completion both(long offset, long length, Completion completion) {
        touch.touched(offset, length);
        return error -> {
            touch.touched(offset, length);
            completion.complete(error);
        };
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
}
