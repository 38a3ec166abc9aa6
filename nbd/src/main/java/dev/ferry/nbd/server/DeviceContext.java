package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;

/** A context whose status follows from what the device says of its extents; asks, and allocates nothing for it. */
abstract class DeviceContext implements MetadataContext {
    private final String name;
    private final BlockDevice device;

    DeviceContext(String name, BlockDevice device) {
        this.name = name;
        this.device = device;
    }

    /** What clients are told of a state of {@link ExtentSink}. */
    abstract int statusOf(int state);

    @Override
    public final String name() {
        return name;
    }

    @Override
    public final void extents(long offset, long length, ExtentSink sink, Completion completion) {
        device.extents(offset, length, sink, completion);
    }
}
