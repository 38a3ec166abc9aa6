package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Geometry;
import dev.ferry.block.Loop;
import dev.ferry.testkit.BlockDeviceContract;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import org.junit.jupiter.api.Nested;

/** Format raw, however it is provisioned, is a device like any other. */
class RawImageContractTest {
    abstract static class Raw extends BlockDeviceContract {
        private final SimLoop loop = new SimLoop(7);
        private final Provisioning provisioning;

        Raw(Provisioning provisioning) {
            this.provisioning = provisioning;
        }

        @Override
        protected Loop loop() {
            return loop;
        }

        @Override
        protected BlockDevice open(long sizeBytes) {
            SimDisk file = new SimDisk("file", loop, sizeBytes, Geometry.ofBytes(sizeBytes), 20_000);
            return new RawImage(CheckedDevice.of(file, "file"), provisioning);
        }
    }

    @Nested
    class Thin extends Raw {
        Thin() {
            super(Provisioning.THIN);
        }
    }

    @Nested
    class Lazy extends Raw {
        Lazy() {
            super(Provisioning.LAZY);
        }
    }

    @Nested
    class Eager extends Raw {
        Eager() {
            super(Provisioning.EAGER);
        }
    }
}
