package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Loop;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.testkit.BlockDeviceContract;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import org.junit.jupiter.api.Nested;

/** VMDK, VHD and VHDX that take changes are devices like any other. */
class GrownContractTest {
    abstract static class Grown extends BlockDeviceContract {
        private static final long ROOM_BYTES = 256 << 20;

        private final SimLoop loop = new SimLoop(13);
        private final GrownFormat format;

        Grown(GrownFormat format) {
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
            BlockDevice file = CheckedDevice.of(SimDisk.growing("file", loop, sizeBytes, ROOM_BYTES, 20_000), "file");
            LoopBytes bytes = new LoopBytes(loop, file);
            format.create(bytes, sizeBytes);
            return format.open(loop, new OpenFile(bytes, file));
        }
    }

    @Nested
    class VmdkSparse extends Grown {
        VmdkSparse() {
            super(GrownFormat.VMDK_SPARSE);
        }
    }

    @Nested
    class VhdDynamic extends Grown {
        VhdDynamic() {
            super(GrownFormat.VHD_DYNAMIC);
        }
    }

    @Nested
    class VhdFixed extends Grown {
        VhdFixed() {
            super(GrownFormat.VHD_FIXED);
        }
    }

    @Nested
    class VhdxDynamic extends Grown {
        VhdxDynamic() {
            super(GrownFormat.VHDX_DYNAMIC);
        }
    }

    @Nested
    class VhdxFixed extends Grown {
        VhdxFixed() {
            super(GrownFormat.VHDX_FIXED);
        }
    }
}
