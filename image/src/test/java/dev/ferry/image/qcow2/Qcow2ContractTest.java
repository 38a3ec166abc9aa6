package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Loop;
import dev.ferry.image.LoopBytes;
import dev.ferry.testkit.BlockDeviceContract;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Nested;

/** Format qcow2 in its variants is a device like any other, and every image is sound and without leaks afterwards. */
class Qcow2ContractTest {
    abstract static class Qcow2 extends BlockDeviceContract {
        private static final long ROOM_BYTES = 160 << 20;

        private final SimLoop loop = new SimLoop(11);
        private final Qcow2Options options;
        private final Qcow2Settings settings;
        private final List<SimDisk> files = new ArrayList<>();

        Qcow2(Qcow2Options options) {
            this(options, Qcow2Settings.DEFAULT);
        }

        Qcow2(Qcow2Options options, Qcow2Settings settings) {
            this.options = options;
            this.settings = settings;
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

        protected @Nullable BlockDevice backing(long sizeBytes) {
            return null;
        }

        @Override
        protected BlockDevice open(long sizeBytes) throws BlockException {
            SimDisk disk = SimDisk.growing("file", loop, sizeBytes, ROOM_BYTES, 20_000);
            files.add(disk);
            BlockDevice file = CheckedDevice.of(disk, "file");
            LoopBytes bytes = new LoopBytes(loop, file);
            Qcow2Creator.create(bytes, sizeBytes, options);
            Qcow2Image image = Qcow2Image.openForWriting(bytes);
            BufferPool buffers = BufferPool.ofBytes(64 << 20);
            BlockDevice store = image.dataFileName() == null ? file : store(sizeBytes);
            return new Qcow2Device(loop, file, store, image, backing(sizeBytes), buffers, loop, settings);
        }

        private BlockDevice store(long sizeBytes) {
            SimDisk disk = SimDisk.growing("data", loop, sizeBytes, ROOM_BYTES, 20_000);
            BlockDevice data = CheckedDevice.of(disk, "data");
            assertThat(OnLoop.await(loop, end -> data.resize(sizeBytes, end))).isNull();
            return data;
        }

        @AfterEach
        @Override
        protected void closeAll() {
            super.closeAll();
            loop.run();
            for (SimDisk file : files) {
                try {
                    CheckReport report = Qcow2Checker.check(new LoopBytes(loop, file), Qcow2Checker.Repair.NONE);
                    assertThat(report.findings()).isEmpty();
                } catch (BlockException failure) {
                    throw new AssertionError(failure);
                }
            }
        }
    }

    @Nested
    class AsUsual extends Qcow2 {
        AsUsual() {
            super(Qcow2Options.DEFAULT);
        }
    }

    @Nested
    class SmallClustersAndFewTablesInMemory extends Qcow2 {
        SmallClustersAndFewTablesInMemory() {
            super(Qcow2Options.DEFAULT.withClusterBits(9), new Qcow2Settings(0, false, 1));
        }
    }

    @Nested
    class LargeClusters extends Qcow2 {
        LargeClusters() {
            super(Qcow2Options.DEFAULT.withClusterBits(21));
        }
    }

    @Nested
    class Version2 extends Qcow2 {
        Version2() {
            super(Qcow2Options.DEFAULT.withVersion(2).withClusterBits(12));
        }
    }

    @Nested
    class OneBitRefcounts extends Qcow2 {
        OneBitRefcounts() {
            super(Qcow2Options.DEFAULT.withRefcountOrder(0).withClusterBits(12));
        }
    }

    @Nested
    class WideRefcounts extends Qcow2 {
        WideRefcounts() {
            super(Qcow2Options.DEFAULT.withRefcountOrder(6).withClusterBits(10));
        }
    }

    @Nested
    class LaidOutAtOnce extends Qcow2 {
        LaidOutAtOnce() {
            super(Qcow2Options.DEFAULT.withMapped(), new Qcow2Settings(1 << 20, true, 1));
        }
    }

    /** Over a backing file that reads as zeroes and is shorter than the disk. */
    abstract static class Overlay extends Qcow2 {
        Overlay(Qcow2Options options) {
            super(options.withBacking("base.raw", "raw"));
        }

        @Override
        protected BlockDevice backing(long sizeBytes) {
            return CheckedDevice.of(new MemoryDisk(sizeBytes / 2 + 1000), "base");
        }
    }

    @Nested
    class Subclusters extends Qcow2 {
        Subclusters() {
            super(Qcow2Options.DEFAULT.withExtendedL2());
        }
    }

    @Nested
    class SmallSubclustersAndFewTablesInMemory extends Qcow2 {
        SmallSubclustersAndFewTablesInMemory() {
            super(Qcow2Options.DEFAULT.withExtendedL2().withClusterBits(14), new Qcow2Settings(0, false, 1));
        }
    }

    @Nested
    class LargeSubclusters extends Qcow2 {
        LargeSubclusters() {
            super(Qcow2Options.DEFAULT.withExtendedL2().withClusterBits(21));
        }
    }

    @Nested
    class SubclustersLaidOutAtOnce extends Qcow2 {
        SubclustersLaidOutAtOnce() {
            super(Qcow2Options.DEFAULT.withExtendedL2().withMapped(), new Qcow2Settings(1 << 20, true, 1));
        }
    }

    @Nested
    class SubclustersThatStayAllocated extends Qcow2 {
        SubclustersThatStayAllocated() {
            super(Qcow2Options.DEFAULT.withExtendedL2().withClusterBits(16), new Qcow2Settings(1 << 20, true, 1));
        }
    }

    @Nested
    class SubclustersOverABackingFile extends Overlay {
        SubclustersOverABackingFile() {
            super(Qcow2Options.DEFAULT.withExtendedL2().withClusterBits(16));
        }
    }

    @Nested
    class DataInAnotherFile extends Qcow2 {
        DataInAnotherFile() {
            super(Qcow2Options.DEFAULT.withClusterBits(12).withData("data", false));
        }
    }

    @Nested
    class RawDataInAnotherFile extends Qcow2 {
        RawDataInAnotherFile() {
            super(Qcow2Options.DEFAULT.withData("data", true));
        }
    }

    @Nested
    class RawDataThatStaysAllocated extends Qcow2 {
        RawDataThatStaysAllocated() {
            super(Qcow2Options.DEFAULT.withData("data", true), new Qcow2Settings(1 << 20, true, 1));
        }
    }

    @Nested
    class SubclustersInAnotherFile extends Qcow2 {
        SubclustersInAnotherFile() {
            super(Qcow2Options.DEFAULT.withExtendedL2().withData("data", false));
        }
    }

    @Nested
    class DataInAnotherFileOverABackingFile extends Overlay {
        DataInAnotherFileOverABackingFile() {
            super(Qcow2Options.DEFAULT.withData("data", false));
        }
    }

    @Nested
    class OverABackingFile extends Overlay {
        OverABackingFile() {
            super(Qcow2Options.DEFAULT);
        }
    }

    @Nested
    class Version2OverABackingFile extends Overlay {
        Version2OverABackingFile() {
            super(Qcow2Options.DEFAULT.withVersion(2).withClusterBits(14));
        }
    }
}
