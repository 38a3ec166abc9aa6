package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;

/** A part of a disk that has no size: a device, such as a parent, that is closed with the disk. The disk's loop. */
public final class HeldOpen extends ReadOnlyDevice {
    private final BlockDevice device;

    public HeldOpen(String name, BlockDevice device) {
        super(name, 0);
        this.device = device;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        completion.complete(nothing(offset, length));
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        completion.complete(nothing(offset, length));
    }

    private BlockError nothing(long offset, long length) {
        return BlockError.of(ErrorKind.INVALID, name, "read", offset, length, "this part of a disk has no bytes");
    }

    @Override
    public void close(Completion completion) {
        device.close(completion);
    }
}
