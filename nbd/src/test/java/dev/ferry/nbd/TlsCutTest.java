package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.tls.TlsCredentials;
import dev.ferry.nbd.tls.TlsFiles;
import dev.ferry.nbd.wire.TlsMode;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A conversation through TLS that is cut: in the clear words before it, in its handshake, in a record of a request, its
 * data, or its answer. The cuts are drawn by chance; {@code -Dferry.cuts.every=1} makes one at every byte, some minutes.
 */
class TlsCutTest extends TlsRig {
    /** Bytes between two cuts, on average. */
    private static final int EVERY_BYTES = Integer.getInteger("ferry.cuts.every", 400);

    private static final int CLEAR_BYTES = 60;
    private static final int DATA_BYTES = 4096;

    @TempDir
    static Path shared;

    @SuppressWarnings("NullAway.Init") // before all tests
    private static Certificates certificates;

    @BeforeAll
    static void makeCertificates() throws Exception {
        certificates = Certificates.make(shared.resolve("pki"));
    }

    private @Nullable BlockError request(Consumer<Completion> request) {
        return OnLoop.await(served.clients(), request);
    }

    /** Opens, writes, reads, flushes and closes; gives how it ended. */
    private @Nullable BlockError converse(Path socket) {
        NbdUri uri = new NbdUri.Unix(socket, "disk", new NbdUri.Tls("localhost", true, certificates.folder()));
        BlockDevice device;
        try {
            device = CheckedDevice.of(NbdClientDevice.open(served.clientLoop, uri, ClientSettings.DEFAULT), "disk");
        } catch (BlockException refused) {
            return refused.error();
        }
        IoBuffer buffer = IoBuffer.allocate(DATA_BYTES);
        buffer.segment().fill((byte) 5);
        BlockError written = request(end -> device.write(0, buffer, 0, DATA_BYTES, 0, end));
        buffer.segment().fill((byte) 0);
        BlockError read = request(end -> device.read(0, buffer, 0, DATA_BYTES, end));
        if (written == null && read == null) {
            byte[] seen = new byte[DATA_BYTES];
            buffer.copyTo(0, seen, 0, DATA_BYTES);
            assertThat(seen).containsOnly(5);
        }
        BlockError flushed = request(device::flush);
        assertThat(request(device::close)).isNull();
        return written != null ? written : read != null ? read : flushed;
    }

    private long cutAfter(long cut, boolean ofServer) throws IOException {
        Path socket = ((NbdUri.Unix) served.unix("disk")).socket();
        try (CuttingProxy proxy = new CuttingProxy(folder, socket, ofServer, cut)) {
            BlockError error = converse(proxy.socket());
            if (error != null) {
                assertThat(error.kind())
                        .as("cut after %d bytes: %s", cut, error.message())
                        .isIn(ErrorKind.UNAVAILABLE, ErrorKind.ACCESS);
                assertThat(error.message()).doesNotContain("\n").doesNotEndWith(": ");
            } else {
                assertThat(cut).as("all of it has to pass").isGreaterThan(DATA_BYTES);
            }
            return proxy.passed();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aConversationThatIsCutEndsAndTheNextIsServed(boolean ofServer) throws Exception {
        ServerTls tls = new ServerTls(
                TlsMode.REQUIRE, TlsCredentials.load(TlsFiles.ofServer(certificates.folder())), true, Set.of());
        serve(EventLoops.Kind.AUTO, ServerSettings.DEFAULT, tls, 1 << 20);
        long all = cutAfter(Long.MAX_VALUE, ofServer);
        assertThat(all).isGreaterThan(DATA_BYTES);
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            for (long cut = 0; cut < all; ) {
                cutAfter(cut, ofServer);
                int every = cut < CLEAR_BYTES ? Math.min(4, EVERY_BYTES) : EVERY_BYTES;
                cut += 1 + random.nextInt(2 * every - 1);
            }
        });
        awaitNobody();
        assertThat(converse(((NbdUri.Unix) served.unix("disk")).socket())).isNull();
    }
}
