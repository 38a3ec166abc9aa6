package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Geometry;
import dev.ferry.testkit.PassingDevice;

/** A device that shows the first part of a larger one, as an image does in a file that was rounded up. */
final class CutDevice extends PassingDevice {
    private final long sizeBytes;

    CutDevice(BlockDevice next, long sizeBytes) {
        super(next);
        this.sizeBytes = sizeBytes;
    }

    @Override
    public Geometry geometry() {
        return Geometry.ofBytes(sizeBytes);
    }
}
