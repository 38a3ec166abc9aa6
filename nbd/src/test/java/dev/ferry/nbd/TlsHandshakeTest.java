package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.ErrorKind;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.FakeServer;
import dev.ferry.nbd.client.FakeServer.Peer;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.tls.PskFile;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.tls.TlsCredentials;
import dev.ferry.nbd.tls.TlsFiles;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.nbd.wire.TlsMode;
import dev.ferry.reactor.EventLoops;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Peers that lie, hang or leave within the handshake of TLS: one clear error before the deadline, and nothing is left of them. */
class TlsHandshakeTest extends TlsRig {
    private static final String ALICE = "alice:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    private static final Duration SHORT = Duration.ofMillis(200);
    private static final long BYTE_EVERY_NANOS = TimeUnit.MILLISECONDS.toNanos(2);

    /** Descriptors of others in this process come and go by one or two. */
    private static final int DESCRIPTORS_BESIDE = 8;

    private static final int ROUNDS = 12;

    /** Of the rounds, those in which a client is not done yet. */
    private static final int HOLDS = 8;

    /** By what the two know each other. */
    enum Scheme {
        CERTIFICATES,
        KEYS
    }

    @TempDir
    static Path shared;

    @SuppressWarnings("NullAway.Init") // before all tests
    private static Certificates certificates;

    private Path keys = Path.of("");

    @BeforeAll
    static void makeCertificates() throws Exception {
        certificates = Certificates.make(shared.resolve("pki"));
    }

    @BeforeEach
    void writeKeys() throws IOException {
        keys = Files.write(folder.resolve("keys.psk"), List.of(ALICE));
    }

    private void serve(Scheme scheme, ServerSettings settings) throws Exception {
        ServerTls tls = switch (scheme) {
            case CERTIFICATES ->
                new ServerTls(
                        TlsMode.REQUIRE, TlsCredentials.load(TlsFiles.ofServer(certificates.folder())), true, Set.of());
            case KEYS -> ServerTls.ofKeys(TlsMode.REQUIRE, PskFile.load(keys), Set.of());
        };
        serve(EventLoops.Kind.AUTO, settings, tls, 1 << 20);
    }

    private NbdUri at(Scheme scheme, Path socket) {
        return new NbdUri.Unix(
                socket,
                "disk",
                switch (scheme) {
                    case CERTIFICATES -> new NbdUri.Tls("localhost", true, certificates.folder());
                    case KEYS -> new NbdUri.Tls(null, true, null, new NbdUri.Psk(keys, "alice"));
                });
    }

    private Path socket() {
        return ((NbdUri.Unix) served.unix("disk")).socket();
    }

    private static int descriptors() {
        return Objects.requireNonNull(new File("/proc/self/fd").list()).length;
    }

    private static void awaitDescriptors(int most) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (descriptors() > most) {
            assertThat(System.nanoTime() - deadline).as("descriptors stay open").isNegative();
            TimeUnit.MILLISECONDS.sleep(1);
        }
    }

    /** What one end said in a whole conversation. */
    private byte[] heardOf(Scheme scheme, boolean ofServer) throws Exception {
        try (CuttingProxy proxy = new CuttingProxy(folder, socket(), ofServer, Long.MAX_VALUE)) {
            expectOpens(at(scheme, proxy.socket()));
            return proxy.heard();
        }
    }

    // ---- servers

    /** Up to where TLS begins, as a good server does. */
    private static void upToTls(Peer client) throws IOException {
        client.send(Bytes.empty().greeting(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES));
        client.receive(4);
        ByteBuffer header = ByteBuffer.wrap(client.receive(16));
        assertThat(header.getInt(8)).isEqualTo(Nbd.OPT_STARTTLS);
        client.send(Bytes.empty().optionReply(Nbd.OPT_STARTTLS, Nbd.REP_ACK));
    }

    /** Answers in TLS with this, and says no more; the client is to leave. */
    private static FakeServer.Script saying(byte... words) {
        return client -> {
            upToTls(client);
            client.send(words);
            awaitEnd(client);
        };
    }

    private static void awaitEnd(Peer client) {
        ByteBuffer rest = ByteBuffer.allocate(1 << 16);
        try {
            while (client.channel().read(rest.clear()) >= 0) {
                // What it still says is of no interest.
            }
        } catch (IOException reset) {
            assertThat(reset).hasMessageContaining("reset");
        }
    }

    private ErrorKind met(Scheme scheme, ClientSettings settings, FakeServer.Script script) throws Exception {
        try (FakeServer server = new FakeServer(script)) {
            ErrorKind kind =
                    refusal(at(scheme, server.uri().socket()), settings).kind();
            server.awaitScript();
            return kind;
        }
    }

    private static byte[] record(int type, int length, byte... begin) {
        return Bytes.empty().u8(type).u16(0x0303).u16(length).raw(begin).done();
    }

    @ParameterizedTest
    @EnumSource(Scheme.class)
    void aServerThatLiesIsOneClearError(Scheme scheme) throws Exception {
        serve(scheme, ServerSettings.DEFAULT);
        byte[] earlier = heardOf(scheme, true);
        int before = descriptors();
        List<FakeServer.Script> lies = new ArrayList<>();
        byte[] nonsense = new byte[3000];
        new Random(4).nextBytes(nonsense);
        lies.add(saying(nonsense));
        // An alert: handshake failure, fatal.
        lies.add(saying(record(21, 2, (byte) 2, (byte) 40)));
        // A record that is longer than any.
        lies.add(saying(record(22, 65535, nonsense)));
        // An answer that is none: a message of the handshake that no server sends first, and one of no kind.
        lies.add(saying(record(22, 4, (byte) 20, (byte) 0, (byte) 0, (byte) 0)));
        lies.add(saying(record(22, 4, (byte) 99, (byte) 0, (byte) 0, (byte) 0)));
        // Data before there are keys.
        lies.add(saying(record(23, 16, new byte[16])));
        // What a good server said to somebody else; without its clear words, which are 18 and 20 bytes.
        lies.add(saying(Arrays.copyOfRange(earlier, 38, earlier.length)));
        // The client's own words.
        lies.add(client -> {
            upToTls(client);
            ByteBuffer own = ByteBuffer.allocate(1 << 16);
            client.channel().read(own);
            client.send(Arrays.copyOf(own.array(), own.position()));
            awaitEnd(client);
        });
        // Leaving, at once and in the middle of a record.
        lies.add(client -> {
            upToTls(client);
            client.channel().shutdownOutput();
            awaitEnd(client);
        });
        lies.add(client -> {
            upToTls(client);
            client.send(Arrays.copyOfRange(earlier, 38, 60));
            client.channel().shutdownOutput();
            awaitEnd(client);
        });
        for (FakeServer.Script lie : lies) {
            assertThat(met(scheme, ClientSettings.DEFAULT, lie)).isIn(ErrorKind.ACCESS, ErrorKind.UNAVAILABLE);
        }
        awaitDescriptors(before + DESCRIPTORS_BESIDE);
        expectOpens(at(scheme, socket()));
    }

    @ParameterizedTest
    @EnumSource(Scheme.class)
    void aServerThatHangsCostsAClientItsDeadlineAndNoMore(Scheme scheme) throws Exception {
        serve(scheme, ServerSettings.DEFAULT);
        byte[] earlier = heardOf(scheme, true);
        int before = descriptors();
        ClientSettings hasty = ClientSettings.DEFAULT.withOpenMax(SHORT);
        assertThat(met(scheme, hasty, tillItLeaves(saying()))).isEqualTo(ErrorKind.TIMED_OUT);
        assertThat(met(scheme, hasty, tillItLeaves(saying(record(22, 1000, new byte[10])))))
                .isEqualTo(ErrorKind.TIMED_OUT);
        // One that goes on and on.
        assertThat(met(scheme, hasty, tillItLeaves(client -> {
                    upToTls(client);
                    trickle(record(22, 16000, new byte[16000]), client.channel()::write);
                })))
                .isEqualTo(ErrorKind.TIMED_OUT);
        // A good one behind which the line goes dead, wherever.
        for (int i = 0; i < HOLDS; i++) {
            long cut = 38 + (earlier.length - 38L) * i / ROUNDS;
            try (CuttingProxy proxy = new CuttingProxy(folder, socket(), true, cut, true)) {
                assertThat(refusal(at(scheme, proxy.socket()), hasty).kind())
                        .as("dead after %d of %d bytes", cut, earlier.length)
                        .isEqualTo(ErrorKind.TIMED_OUT);
            }
        }
        awaitNobody();
        awaitDescriptors(before + DESCRIPTORS_BESIDE);
    }

    /** On a slow machine a client may have left before there was anything to say. */
    private static FakeServer.Script tillItLeaves(FakeServer.Script script) {
        return client -> {
            try {
                script.run(client);
            } catch (IOException left) {
                assertThat(left).isNotNull();
            }
        };
    }

    private interface Sink {
        int write(ByteBuffer bytes) throws IOException;
    }

    /** A byte now and a byte then, until nobody takes them. */
    private static void trickle(byte[] bytes, Sink sink) {
        try {
            for (byte one : bytes) {
                int _ = sink.write(ByteBuffer.wrap(new byte[] {one}));
                LockSupport.parkNanos(BYTE_EVERY_NANOS);
            }
        } catch (IOException gone) {
            return;
        }
        throw new AssertionError("all of it was taken");
    }

    // ---- clients

    private RawClient upToTls() throws IOException {
        RawClient client = new RawClient(socket()).greet();
        assertThat(client.askType(Bytes.empty().option(Nbd.OPT_STARTTLS))).isEqualTo(Nbd.REP_ACK);
        return client;
    }

    @ParameterizedTest
    @EnumSource(Scheme.class)
    void clientsThatLieCostAServerNothing(Scheme scheme) throws Exception {
        serve(scheme, ServerSettings.DEFAULT);
        byte[] earlier = heardOf(scheme, false);
        awaitNobody();
        int before = descriptors();
        byte[] nonsense = new byte[3000];
        new Random(5).nextBytes(nonsense);
        // The clear words of a client are 4 and 16 bytes.
        byte[] replayed = Arrays.copyOfRange(earlier, 20, earlier.length);
        List<byte[]> lies = List.of(
                nonsense,
                record(21, 2, (byte) 2, (byte) 40),
                record(22, 65535, nonsense),
                record(22, 4, (byte) 20, (byte) 0, (byte) 0, (byte) 0),
                record(22, 4, (byte) 99, (byte) 0, (byte) 0, (byte) 0),
                record(23, 16, new byte[16]),
                replayed);
        for (byte[] lie : lies) {
            try (RawClient client = upToTls()) {
                client.send(lie);
                client.channel().shutdownOutput();
                client.receiveToEnd();
            } catch (IOException reset) {
                assertThat(reset).hasMessageMatching(".*(reset|pipe|closed).*");
            }
        }
        awaitNobody();
        awaitDescriptors(before + DESCRIPTORS_BESIDE);
        expectOpens(at(scheme, socket()));
    }

    /** All at once, so that the deadline is waited for once. */
    @ParameterizedTest
    @EnumSource(Scheme.class)
    void clientsThatHangAreClosedAtTheDeadline(Scheme scheme) throws Exception {
        serve(scheme, ServerSettings.DEFAULT);
        byte[] earlier = heardOf(scheme, false);
        served.close();
        serve(scheme, ServerSettings.DEFAULT.withHandshakeMax(SHORT));
        int before = descriptors();
        List<RawClient> clients = new ArrayList<>();
        for (int i = 0; i < ROUNDS; i++) {
            // Not one that gets as far as having TLS: from there on another deadline might count.
            RawClient client = new RawClient(socket());
            clients.add(client);
            int cut = Math.min(earlier.length, 20 + i * 20);
            try {
                client.send(Arrays.copyOf(earlier, i == ROUNDS - 1 ? 20 : cut));
            } catch (IOException late) {
                assertThat(late).hasMessageMatching(".*(reset|pipe|closed).*");
            }
        }
        RawClient slow = clients.removeLast();
        try (slow) {
            trickle(record(22, 16000, new byte[16000]), slow.channel()::write);
        }
        for (RawClient client : clients) {
            client.receiveToEnd();
            client.close();
        }
        awaitNobody();
        awaitDescriptors(before + DESCRIPTORS_BESIDE);
    }
}
