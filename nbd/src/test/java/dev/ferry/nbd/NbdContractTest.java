package dev.ferry.nbd;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Loop;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.BlockDeviceContract;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.util.function.BiFunction;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;

/** Our client and our server together are a device like any other. */
@Timeout(120)
class NbdContractTest {
    @TestInstance(TestInstance.Lifecycle.PER_CLASS)
    abstract static class OverServer extends BlockDeviceContract {
        private final EventLoops.Kind kind;
        Served served;
        private final BiFunction<Served, String, NbdUri> uri;
        private int disks;

        OverServer(EventLoops.Kind kind, BiFunction<Served, String, NbdUri> uri) {
            this.kind = kind;
            this.uri = uri;
        }

        @BeforeAll
        void start() throws IOException {
            served = new Served(kind);
        }

        @AfterAll
        void stop() throws IOException {
            served.close();
        }

        @Override
        protected Loop loop() {
            return served.clients();
        }

        @Override
        protected BlockDevice open(long sizeBytes) throws IOException {
            String name = "disk " + disks++;
            served.serve(name, new MemoryDisk(sizeBytes));
            return NbdClientDevice.open(served.clientLoop, uri.apply(served, name), ClientSettings.DEFAULT);
        }
    }

    @Nested
    class UnixOnRing extends OverServer {
        UnixOnRing() {
            super(EventLoops.Kind.IO_URING, Served::unix);
        }
    }

    @Nested
    class UnixOnEpoll extends OverServer {
        UnixOnEpoll() {
            super(EventLoops.Kind.EPOLL, Served::unix);
        }
    }

    @Nested
    class TcpOnRing extends OverServer {
        TcpOnRing() {
            super(EventLoops.Kind.IO_URING, Served::tcp);
        }
    }

    @Nested
    class TcpOnEpoll extends OverServer {
        TcpOnEpoll() {
            super(EventLoops.Kind.EPOLL, Served::tcp);
        }
    }
}
