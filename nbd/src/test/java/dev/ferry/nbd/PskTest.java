package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.tls.PskFile;
import dev.ferry.nbd.tls.PskKeys;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.wire.TlsMode;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** TLS by keys that both ends have: whoever has a key is let in, by its name, and nobody else. */
class PskTest extends TlsRig {
    private static final int DISK_BYTES = 8 << 20;
    private static final String ALICE = "alice:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    private static final String BOB = "bob:ffeeddccbbaa99887766554433221100";
    private static final String NOT_BOB = "bob:ffeeddccbbaa99887766554433221101";

    /** Where a version is asked for, GnuTLS has to be told of all its key exchanges as well. */
    private static final String ONLY_TLS_12 = "NORMAL:-VERS-ALL:+VERS-TLS1.2:+ECDHE-PSK:+DHE-PSK";

    private Path keys;

    @BeforeEach
    void writeKeys() throws IOException {
        // The name that QEMU looks for in a directory.
        keys = Files.write(folder.resolve("keys.psk"), List.of("# two of them", ALICE, "", BOB));
    }

    private void serve(EventLoops.Kind kind, String... clients) throws Exception {
        ServerTls tls = ServerTls.ofKeys(TlsMode.REQUIRE, PskFile.load(keys), Set.of(clients));
        serve(kind, ServerSettings.DEFAULT, tls, DISK_BYTES);
    }

    private static NbdUri.Tls by(Path file, @Nullable String name) {
        return new NbdUri.Tls(null, true, null, new NbdUri.Psk(file, name));
    }

    private NbdUri tcp(Path file, @Nullable String name) {
        NbdUri.Tcp plain = (NbdUri.Tcp) served.tcp("disk");
        return new NbdUri.Tcp(plain.host(), plain.port(), "disk", by(file, name));
    }

    private NbdUri unix(Path file, @Nullable String name) {
        return new NbdUri.Unix(((NbdUri.Unix) served.unix("disk")).socket(), "disk", by(file, name));
    }

    private Path file(String... lines) throws IOException {
        return Files.write(Files.createTempFile(folder, "keys", ".psk"), List.of(lines));
    }

    @ParameterizedTest
    @EnumSource(
            value = EventLoops.Kind.class,
            names = {"IO_URING", "EPOLL"})
    void whatIsWrittenIsReadBack(EventLoops.Kind kind) throws Exception {
        serve(kind);
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (NbdUri uri : List.of(tcp(keys, "alice"), unix(keys, "bob"))) {
            NbdClientDevice device = NbdClientDevice.open(served.clientLoop, uri, ClientSettings.DEFAULT);
            for (int i = 0; i < 60; i++) {
                int length = 1 + random.nextInt(i % 4 == 0 ? 3 << 20 : 40_000);
                int offset = random.nextInt(DISK_BYTES - length);
                byte[] bytes = new byte[length];
                random.nextBytes(bytes);
                IoBuffer buffer = IoBuffer.allocate(length);
                buffer.copyFrom(bytes, 0, 0, length);
                assertThat(OnLoop.await(served.clients(), end -> device.write(offset, buffer, 0, length, 0, end)))
                        .isNull();
                buffer.segment().fill((byte) 0);
                assertThat(OnLoop.await(served.clients(), end -> device.read(offset, buffer, 0, length, end)))
                        .isNull();
                byte[] seen = new byte[length];
                buffer.copyTo(0, seen, 0, length);
                assertThat(Arrays.equals(seen, bytes))
                        .as("seed %d, %d bytes at %d", seed, length, offset)
                        .isTrue();
            }
            assertThat(OnLoop.await(served.clients(), device::close)).isNull();
        }
    }

    @Test
    void whoHasNoKeyIsNotLetInAndTheServerGoesOn() throws Exception {
        serve(EventLoops.Kind.AUTO);
        assertThat(refusal(tcp(file(NOT_BOB), "bob")).kind()).isEqualTo(ErrorKind.ACCESS);
        assertThat(refusal(tcp(file("eve:00112233445566778899aabbccddeeff"), "eve"))
                        .kind())
                .isEqualTo(ErrorKind.ACCESS);
        assertThat(refusal(served.tcp("disk")).error().detail()).contains("nbds");
        expectOpens(tcp(keys, "bob"));
        expectOpens(tcp(file(BOB), null));
    }

    @Test
    void oneOfSeveralKeysIsChosenByItsName() throws Exception {
        serve(EventLoops.Kind.AUTO);
        assertThat(refusal(tcp(keys, null)).error().detail()).contains("NAME@");
        assertThat(refusal(tcp(keys, "carol")).error().detail()).contains("carol");
    }

    @Test
    void clientsAreLetInByName() throws Exception {
        serve(EventLoops.Kind.AUTO, "alice");
        expectOpens(tcp(keys, "alice"));
        refusal(tcp(keys, "bob"));
    }

    @Test
    void aKeyThatIsStruckOutCountsFromTheNextConnectionOn() throws Exception {
        Path own = file(ALICE, BOB);
        serve(EventLoops.Kind.AUTO);
        expectOpens(tcp(own, "bob"));
        Files.write(keys, List.of(ALICE));
        refusal(tcp(own, "bob"));
        Files.writeString(keys, "half written");
        expectOpens(tcp(own, "alice"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "# none",
                "alice",
                ":00112233445566778899aabbccddeeff",
                "alice:aabbccdd",
                "alice:00112233445566778899aabbccddeefg",
                "alice:00112233445566778899aabbccddeef",
                ALICE + "\n" + ALICE
            })
    void aFileOfKeysThatIsWrongIsRefusedInOneLineWithoutAKey(String content) throws Exception {
        Path file = Files.writeString(folder.resolve("wrong.psk"), content);
        IOException refused = catchThrowableOfType(IOException.class, () -> PskKeys.read(file));
        assertThat(refused).hasMessageContaining("wrong.psk").message().doesNotContain("\n", "aabbccdd");
    }

    // ---- strangers

    @Test
    void libnbdAndNbdkitDealWithUs() throws Exception {
        serve(EventLoops.Kind.AUTO, "alice");
        int port = ((NbdUri.Tcp) served.tcp("disk")).port();
        String uri = "nbds://alice@localhost:" + port + "/disk?tls-psk-file=" + keys;
        assertThat(Stranger.succeeds("nbdinfo", uri)).contains("with TLS").contains("export-size: 8388608");
        Path data = folder.resolve("data.raw");
        byte[] bytes = new byte[DISK_BYTES];
        new Random(5).nextBytes(bytes);
        Files.write(data, bytes);
        Stranger.succeeds("nbdcopy", data.toString(), uri);
        Path copied = folder.resolve("copied.raw");
        Stranger.succeeds("nbdcopy", uri, copied.toString());
        assertThat(Files.mismatch(data, copied)).isEqualTo(-1);
        assertThat(Stranger.run("nbdinfo", uri.replace("alice@", "bob@")).exitCode())
                .isNotZero();
        Path socket = folder.resolve("nbdkit.sock");
        List<String> options =
                List.of("--foreground", "--exit-with-parent", "--tls=require", "--tls-psk=" + keys, "--unix");
        try (StrangeServer server = StrangeServer.start("nbdkit", options, socket, "memory", "1M")) {
            expectOpens(new NbdUri.Unix(server.socket(), "", by(keys, "bob")));
            refusal(new NbdUri.Unix(server.socket(), "", by(file(NOT_BOB), "bob")));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",priority=" + ONLY_TLS_12})
    void qemuDealsWithUsInBothVersions(String priority) throws Exception {
        serve(EventLoops.Kind.AUTO);
        int port = ((NbdUri.Tcp) served.tcp("disk")).port();
        String client = "tls-creds-psk,id=tls0,endpoint=client,username=alice,dir=" + folder + priority;
        String image = "driver=nbd,host=localhost,port=" + port + ",export=disk,tls-creds=tls0";
        assertThat(Stranger.succeeds("qemu-img", "info", "--object", client, "--image-opts", image))
                .contains("8 MiB");
        Path disk = Files.write(folder.resolve("disk.raw"), new byte[1 << 20]);
        List<String> options =
                new ArrayList<>(List.of("--object", "tls-creds-psk,id=tls0,endpoint=server,dir=" + folder + priority));
        options.addAll(List.of("--tls-creds", "tls0", "--persistent", "--shared", "4", "--format", "raw", "--socket"));
        try (StrangeServer server =
                StrangeServer.start("qemu-nbd", options, folder.resolve("qemu.sock"), disk.toString())) {
            expectOpens(new NbdUri.Unix(server.socket(), "", by(keys, "alice")));
            refusal(new NbdUri.Unix(server.socket(), "", by(file(NOT_BOB), "bob")));
        }
    }
}
