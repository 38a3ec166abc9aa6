package dev.ferry.device;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Loop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.BlockDeviceContract;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.io.TempDir;

/** The contract, for each way in which bytes are kept at the bottom of a stack. */
class DeviceContractTest {
    abstract static class OnRealLoop extends BlockDeviceContract {
        private final EventLoops loops;
        private final ReactorLoop loop;

        OnRealLoop(EventLoops.Kind kind) {
            loops = EventLoops.start(1, kind);
            loop = new ReactorLoop(loops.next());
        }

        @Override
        protected Loop loop() {
            return loop;
        }

        ReactorLoop reactorLoop() {
            return loop;
        }

        /** After the devices have been closed: methods of a subclass run before those of its parent. */
        @Override
        @AfterEach
        protected void closeAll() {
            super.closeAll();
            loops.close();
        }
    }

    abstract static class OfFiles extends OnRealLoop {
        private final FileOptions options;

        @TempDir
        Path folder;

        OfFiles(EventLoops.Kind kind, FileOptions options) {
            super(kind);
            this.options = options;
        }

        @Override
        protected BlockDevice open(long sizeBytes) throws Exception {
            Path file = Files.createTempFile(folder, "disk", ".raw");
            try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
                made.setLength(sizeBytes);
            }
            return FileDevice.open(reactorLoop().events(), file, options);
        }

        @Override
        protected long oddSizeBytes() {
            // O_DIRECT takes no part of a block: such a disk is opened through the page cache.
            return options.direct() ? (1 << 20) + 4096 : super.oddSizeBytes();
        }
    }

    @Nested
    class CachedOnTheRing extends OfFiles {
        CachedOnTheRing() {
            super(EventLoops.Kind.AUTO, FileOptions.CACHED);
        }
    }

    @Nested
    class DirectOnTheRing extends OfFiles {
        DirectOnTheRing() {
            super(EventLoops.Kind.AUTO, FileOptions.DIRECT);
        }
    }

    @Nested
    class CachedOnEpoll extends OfFiles {
        CachedOnEpoll() {
            super(EventLoops.Kind.EPOLL, FileOptions.CACHED);
        }
    }

    @Nested
    class DirectOnEpoll extends OfFiles {
        DirectOnEpoll() {
            super(EventLoops.Kind.EPOLL, FileOptions.DIRECT);
        }
    }

    @Nested
    class InMemory extends OnRealLoop {
        InMemory() {
            super(EventLoops.Kind.EPOLL);
        }

        @Override
        protected BlockDevice open(long sizeBytes) {
            return new MemoryDevice(sizeBytes);
        }
    }
}
