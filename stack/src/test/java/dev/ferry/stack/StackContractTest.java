package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Loop;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.NewDisk;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.device.ReactorLoop;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.BlockDeviceContract;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.io.TempDir;

/** A whole stack on a real file and a real loop is a device like any other, past the page cache too. */
class StackContractTest {
    private static EventLoops loops;
    private static DiskLoop loop;

    @TempDir
    static Path directory;

    private static int number;

    @BeforeAll
    static void start() {
        loops = EventLoops.start(1, EventLoops.Kind.AUTO);
        loop = new DiskLoop(loops.next(), new ReactorLoop(loops.all().getFirst()), BufferPool.ofBytes(64 << 20));
    }

    @AfterAll
    static void end() {
        loops.close();
    }

    static FileDevice file(DiskLoop on, DiskSpec spec) throws BlockException {
        return FileDevice.open(
                on.events(),
                spec.path(),
                new FileOptions(
                        spec.readOnly(), spec.pastTheCache(), spec.format().grows()));
    }

    abstract static class Stack extends BlockDeviceContract {
        private final ImageFormat format;
        private final Provisioning provisioning;
        private final boolean direct;

        Stack(Provisioning provisioning, boolean direct) {
            this(ImageFormat.RAW, provisioning, direct);
        }

        Stack(ImageFormat format, Provisioning provisioning, boolean direct) {
            this.format = format;
            this.provisioning = provisioning;
            this.direct = direct;
        }

        @Override
        protected Loop loop() {
            return loop.loop();
        }

        @Override
        protected BlockDevice open(long sizeBytes) throws Exception {
            NewDisk disk = Datastore.open("store", directory)
                    .create("disk" + number++, format.text(), format.grows() ? 0 : sizeBytes);
            DiskSpec spec = new DiskSpec("disk", disk.file(), provisioning, false, direct, format);
            Images.format(
                    loop, spec.at(disk.partial(), provisioning), StackContractTest::file, sizeBytes, Qcow2Shape.USUAL);
            disk.publish();
            Stacks stacks = new Stacks(List.of(loop), StackContractTest::file);
            return stacks.acquire(spec).front();
        }
    }

    @Nested
    class ThinCached extends Stack {
        ThinCached() {
            super(Provisioning.THIN, false);
        }
    }

    @Nested
    class LazyCached extends Stack {
        LazyCached() {
            super(Provisioning.LAZY, false);
        }
    }

    @Nested
    class ThinDirect extends Stack {
        ThinDirect() {
            super(Provisioning.THIN, true);
        }

        /** A disk past the page cache consists of whole sectors. */
        @Override
        protected long oddSizeBytes() {
            return (1 << 20) + 4096;
        }
    }

    @Nested
    class Qcow2Cached extends Stack {
        Qcow2Cached() {
            super(ImageFormat.QCOW2, Provisioning.THIN, false);
        }

        /** A qcow2 disk consists of whole sectors of 512 bytes. */
        @Override
        protected long oddSizeBytes() {
            return (1 << 20) + 512;
        }
    }

    @Nested
    class Qcow2Direct extends Stack {
        Qcow2Direct() {
            super(ImageFormat.QCOW2, Provisioning.LAZY, true);
        }

        @Override
        protected long oddSizeBytes() {
            return (1 << 20) + 512;
        }
    }
}
