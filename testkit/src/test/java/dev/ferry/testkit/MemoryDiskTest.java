package dev.ferry.testkit;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Loop;

class MemoryDiskTest extends BlockDeviceContract {
    private final SimLoop loop = new SimLoop(1);

    @Override
    protected Loop loop() {
        return loop;
    }

    @Override
    protected BlockDevice open(long sizeBytes) {
        return new MemoryDisk(sizeBytes);
    }
}
