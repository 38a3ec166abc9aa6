package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Loop;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.tls.TlsCredentials;
import dev.ferry.nbd.tls.TlsFiles;
import dev.ferry.nbd.wire.TlsMode;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.BlockDeviceContract;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Our client and our server together are a device like any other, through TLS too. */
@Timeout(240)
class TlsContractTest {
    @TestInstance(TestInstance.Lifecycle.PER_CLASS)
    abstract static class OverTls extends BlockDeviceContract {
        @TempDir
        static Path folder;

        private final EventLoops.Kind kind;
        private final boolean tcp;
        private Served served;
        private Certificates certificates;
        private int disks;

        OverTls(EventLoops.Kind kind, boolean tcp) {
            this.kind = kind;
            this.tcp = tcp;
        }

        @BeforeAll
        void start() throws Exception {
            certificates = Certificates.make(folder);
            TlsCredentials credentials = TlsCredentials.load(TlsFiles.ofServer(certificates.folder()));
            ServerTls tls = new ServerTls(TlsMode.REQUIRE, credentials, true, Set.of("tester"));
            served = new Served(kind, ServerSettings.DEFAULT, tls);
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
            NbdUri uri = served.tls(tcp ? served.tcp(name) : served.unix(name), certificates.folder());
            NbdClientDevice device = NbdClientDevice.open(served.clientLoop, uri, ClientSettings.DEFAULT);
            assertThat(device.writesFiles()).as("nothing goes past TLS").isFalse();
            return device;
        }
    }

    @Nested
    class TcpOnRing extends OverTls {
        TcpOnRing() {
            super(EventLoops.Kind.IO_URING, true);
        }
    }

    @Nested
    class UnixOnRing extends OverTls {
        UnixOnRing() {
            super(EventLoops.Kind.IO_URING, false);
        }
    }

    @Nested
    class TcpOnEpoll extends OverTls {
        TcpOnEpoll() {
            super(EventLoops.Kind.EPOLL, true);
        }
    }
}
