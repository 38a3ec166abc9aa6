package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Loop;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.testkit.BlockDeviceContract;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import org.junit.jupiter.api.Nested;

/** Deltas that take changes are devices like any other. */
class DeltaContractTest {
    abstract static class Delta extends BlockDeviceContract {
        private static final long ROOM_BYTES = 256 << 20;

        private final SimLoop loop = new SimLoop(13);
        private final DeltaFormat format;

        Delta(DeltaFormat format) {
            this.format = format;
        }

        @Override
        protected Loop loop() {
            return loop;
        }

        /** Of whole sectors. */
        @Override
        protected long oddSizeBytes() {
            return (1 << 20) + 512;
        }

        @Override
        protected BlockDevice open(long sizeBytes) throws BlockException {
            MemoryDisk parent = format.parent(loop, new byte[(int) sizeBytes]);
            BlockDevice file = CheckedDevice.of(SimDisk.growing("file", loop, sizeBytes, ROOM_BYTES, 20_000), "file");
            LoopBytes bytes = new LoopBytes(loop, file);
            format.create(bytes, new LoopBytes(loop, parent), "parent", sizeBytes);
            return format.open(loop, new OpenFile(bytes, file), DeltaFormat.only(loop, parent));
        }
    }

    @Nested
    class Vmdk extends Delta {
        Vmdk() {
            super(DeltaFormat.VMDK);
        }
    }

    @Nested
    class VmdkZeroGrains extends Delta {
        VmdkZeroGrains() {
            super(DeltaFormat.VMDK_ZERO_GRAINS);
        }
    }

    @Nested
    class Vhd extends Delta {
        Vhd() {
            super(DeltaFormat.VHD);
        }
    }

    @Nested
    class Vhdx extends Delta {
        Vhdx() {
            super(DeltaFormat.VHDX);
        }
    }
}
