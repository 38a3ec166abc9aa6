package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdInfo;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.tls.TlsCredentials;
import dev.ferry.nbd.tls.TlsFiles;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.nbd.wire.TlsMode;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Who is let in, who is not, and what nobody in between can bring about. */
class TlsTest extends TlsRig {
    @TempDir
    static Path shared;

    @SuppressWarnings("NullAway.Init") // before all tests
    private static Certificates certificates;

    @BeforeAll
    static void makeCertificates() throws Exception {
        certificates = Certificates.make(shared.resolve("good"));
    }

    private void serve(TlsMode mode, boolean verify, String... clients) throws Exception {
        serve(certificates.folder(), mode, verify, clients);
    }

    private void serve(Path of, TlsMode mode, boolean verify, String... clients) throws Exception {
        ServerTls tls = mode == TlsMode.OFF
                ? ServerTls.OFF
                : new ServerTls(mode, TlsCredentials.load(TlsFiles.ofServer(of)), verify, Set.of(clients));
        serve(EventLoops.Kind.AUTO, ServerSettings.DEFAULT, tls, 1 << 20);
    }

    private NbdUri.Tcp tcp(@Nullable String hostName, boolean verify, Path pki) {
        NbdUri.Tcp plain = (NbdUri.Tcp) served.tcp("disk");
        return new NbdUri.Tcp(plain.host(), plain.port(), "disk", new NbdUri.Tls(hostName, verify, pki));
    }

    // ---- clients

    @Test
    void aClientWithoutACertificateIsTurnedAwayAndTheServerGoesOn() throws Exception {
        serve(TlsMode.REQUIRE, true);
        Path bare = Files.createDirectory(folder.resolve("bare"));
        Files.copy(certificates.folder().resolve("ca-cert.pem"), bare.resolve("ca-cert.pem"));
        refusal(tcp(null, true, bare));
        expectOpens(tcp(null, true, certificates.folder()));
    }

    @Test
    void aServerMayDoWithoutCertificatesOfClients() throws Exception {
        serve(TlsMode.REQUIRE, false);
        Path bare = Files.createDirectory(folder.resolve("bare"));
        Files.copy(certificates.folder().resolve("ca-cert.pem"), bare.resolve("ca-cert.pem"));
        expectOpens(tcp(null, true, bare));
    }

    @Test
    void clientsAreLetInByName() throws Exception {
        serve(TlsMode.REQUIRE, true, "somebody else");
        refusal(tcp(null, true, certificates.folder()));
        served.close();
        serve(TlsMode.REQUIRE, true, "somebody else", "tester");
        expectOpens(tcp(null, true, certificates.folder()));
    }

    @Test
    void aClientOfAnotherAuthorityIsTurnedAway() throws Exception {
        Certificates others = Certificates.make(folder.resolve("others"));
        Files.copy(
                certificates.folder().resolve("ca-cert.pem"),
                others.folder().resolve("ca-cert.pem"),
                StandardCopyOption.REPLACE_EXISTING);
        serve(TlsMode.REQUIRE, true);
        refusal(tcp(null, true, others.folder()));
        expectOpens(tcp(null, true, certificates.folder()));
    }

    /** The list is a file beside the others, and like them it counts from the next connection on. */
    @Test
    void certificatesThatTheirAuthorityTookBackAreTurnedAway() throws Exception {
        Certificates own = Certificates.make(folder.resolve("own"));
        serve(own.folder(), TlsMode.REQUIRE, true);
        expectOpens(tcp(null, true, own.folder()));
        own.revoke();
        expectOpens(tcp(null, true, own.folder()));
        own.revoke("client");
        refusal(tcp(null, true, own.folder()));
        own.issue("client", "tester", "DNS:tester", "ec");
        expectOpens(tcp(null, true, own.folder()));
        own.revoke("server");
        assertThat(refusal(tcp(null, true, own.folder())).kind()).isEqualTo(ErrorKind.ACCESS);
        own.server("localhost", "DNS:localhost,IP:127.0.0.1");
        expectOpens(tcp(null, true, own.folder()));
    }

    // ---- servers

    @Test
    void aServerOfAnotherAuthorityIsNotBelieved() throws Exception {
        Certificates others = Certificates.make(folder.resolve("others"));
        serve(others.folder(), TlsMode.REQUIRE, false);
        assertThat(refusal(tcp(null, true, certificates.folder())).kind()).isEqualTo(ErrorKind.ACCESS);
        expectOpens(tcp(null, false, certificates.folder()));
    }

    @Test
    void theNameOfTheServerHasToBeItsOwn() throws Exception {
        serve(TlsMode.REQUIRE, false);
        expectOpens(tcp("localhost", true, certificates.folder()));
        assertThat(refusal(tcp("example.com", true, certificates.folder())).kind())
                .isEqualTo(ErrorKind.ACCESS);
        served.close();
        Certificates elsewhere = Certificates.make(folder.resolve("elsewhere"));
        elsewhere.server("elsewhere", "DNS:elsewhere");
        serve(elsewhere.folder(), TlsMode.REQUIRE, false);
        assertThat(refusal(tcp(null, true, elsewhere.folder())).kind())
                .as("the address of the URI is not in the certificate")
                .isEqualTo(ErrorKind.ACCESS);
        expectOpens(tcp("elsewhere", true, elsewhere.folder()));
    }

    @Test
    void aServerWithoutTlsGetsNothing() throws Exception {
        serve(TlsMode.OFF, false);
        assertThat(refusal(tcp(null, true, certificates.folder())).kind()).isEqualTo(ErrorKind.UNSUPPORTED);
        expectOpens(served.tcp("disk"));
    }

    @Test
    void aServerThatInsistsSaysSo() throws Exception {
        serve(TlsMode.REQUIRE, false);
        assertThat(refusal(served.tcp("disk")).error().detail()).contains("nbds");
        served.close();
        serve(TlsMode.ON, false);
        expectOpens(served.tcp("disk"));
        expectOpens(tcp(null, true, certificates.folder()));
        NbdInfo info = NbdInfo.list(served.clientLoop, tcp(null, true, certificates.folder()), ClientSettings.DEFAULT);
        assertThat(info.tls()).isTrue();
        assertThat(info.exports()).hasSize(1);
    }

    // ---- the handshake in the clear

    private RawClient raw() throws IOException {
        return new RawClient(((NbdUri.Unix) served.unix("disk")).socket());
    }

    @Test
    void withoutTlsNothingIsAnsweredWhereItIsRequired() throws Exception {
        serve(TlsMode.REQUIRE, false);
        try (RawClient client = raw().greet()) {
            for (int option : new int[] {
                Nbd.OPT_LIST,
                Nbd.OPT_INFO,
                Nbd.OPT_GO,
                Nbd.OPT_STRUCTURED_REPLY,
                Nbd.OPT_SET_META_CONTEXT,
                Nbd.OPT_EXTENDED_HEADERS,
                77
            }) {
                assertThat(client.askType(Bytes.empty().option(option))).isEqualTo(Nbd.REP_ERR_TLS_REQD);
                assertThat(client.askType(Bytes.empty().option(option, new byte[70_000])))
                        .isEqualTo(Nbd.REP_ERR_TLS_REQD);
            }
            assertThat(client.askType(Bytes.empty().option(Nbd.OPT_STARTTLS, (byte) 1)))
                    .isEqualTo(Nbd.REP_ERR_INVALID);
            assertThat(client.askType(Bytes.empty().option(Nbd.OPT_ABORT))).isEqualTo(Nbd.REP_ACK);
            client.expectEnd();
        }
        try (RawClient client = raw().greet()) {
            client.send(Bytes.empty().option(Nbd.OPT_EXPORT_NAME, "disk".getBytes(StandardCharsets.UTF_8)));
            client.expectEnd();
        }
        expectOpens(tcp(null, true, certificates.folder()));
    }

    @ParameterizedTest
    @EnumSource(
            value = TlsMode.class,
            names = {"ON", "REQUIRE"})
    void whatIsSaidInTheClearBehindTheWishForTlsIsNotObeyed(TlsMode mode) throws Exception {
        serve(mode, false);
        try (RawClient client = raw().greet()) {
            // All at once, so that it lies in the server's buffer when TLS begins.
            client.send(Bytes.empty()
                    .option(Nbd.OPT_STARTTLS)
                    .option(Nbd.OPT_STRUCTURED_REPLY)
                    .info(Nbd.OPT_GO, "disk"));
            RawClient.OptionReply first = client.optionReply();
            assertThat(first.option()).isEqualTo(Nbd.OPT_STARTTLS);
            assertThat(first.type()).isEqualTo(Nbd.REP_ACK);
            byte[] rest = client.receiveToEnd();
            assertThat(rest.length).as("no more than an alert of TLS").isLessThan(20);
        }
        expectOpens(tcp(null, true, certificates.folder()));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 5, 100, 5000})
    void nonsenseInsteadOfTlsCostsThatConnectionOnly(int length) throws Exception {
        serve(TlsMode.REQUIRE, false);
        byte[] nonsense = new byte[length];
        new Random(length).nextBytes(nonsense);
        try (RawClient client = raw().greet()) {
            assertThat(client.askType(Bytes.empty().option(Nbd.OPT_STARTTLS))).isEqualTo(Nbd.REP_ACK);
            client.send(nonsense);
            client.channel().shutdownOutput();
            client.receiveToEnd();
        } catch (IOException reset) {
            assertThat(reset).hasMessageMatching(".*(reset|pipe|closed).*");
        }
        expectOpens(tcp(null, true, certificates.folder()));
    }

    // ---- certificates

    @Test
    void newCertificatesAreUsedWithoutARestart() throws Exception {
        Certificates renewed = Certificates.make(folder.resolve("renewed"));
        serve(renewed.folder(), TlsMode.REQUIRE, false);
        BlockDevice before =
                NbdClientDevice.open(served.clientLoop, tcp(null, true, renewed.folder()), ClientSettings.DEFAULT);
        renewed.server("another", "DNS:another");
        refusal(tcp("localhost", true, renewed.folder()));
        expectOpens(tcp("another", true, renewed.folder()));
        assertThat(OnLoop.await(served.clients(), before::flush))
                .as("who was there before stays")
                .isNull();
        assertThat(OnLoop.await(served.clients(), before::close)).isNull();
    }

    @Test
    void certificatesThatCannotBeReadLeaveTheOnesThatAreThere() throws Exception {
        Certificates renewed = Certificates.make(folder.resolve("renewed"));
        serve(renewed.folder(), TlsMode.REQUIRE, false);
        Path client = Files.createDirectory(folder.resolve("client"));
        Files.copy(renewed.folder().resolve("ca-cert.pem"), client.resolve("ca-cert.pem"));
        for (String half : List.of("", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")) {
            Files.writeString(renewed.folder().resolve("server-cert.pem"), half);
            expectOpens(tcp(null, true, client));
        }
        Files.delete(renewed.folder().resolve("server-key.pem"));
        expectOpens(tcp(null, true, client));
    }

    @Test
    void keysInTheOlderFormAreRead() throws Exception {
        Certificates old = Certificates.make(folder.resolve("old"));
        old.oldServerKey();
        assertThat(Files.readString(old.folder().resolve("server-key.pem"))).contains("BEGIN RSA PRIVATE KEY");
        serve(old.folder(), TlsMode.REQUIRE, false);
        expectOpens(tcp(null, true, old.folder()));
    }

    @Test
    void aKeyOfAnotherCertificateIsRefusedByName() throws Exception {
        Certificates mixed = Certificates.make(folder.resolve("mixed"));
        Files.copy(
                certificates.folder().resolve("server-key.pem"),
                mixed.folder().resolve("server-key.pem"),
                StandardCopyOption.REPLACE_EXISTING);
        IOException refused =
                catchThrowableOfType(IOException.class, () -> TlsCredentials.load(TlsFiles.ofServer(mixed.folder())));
        assertThat(refused).hasMessageContaining("server-key.pem");
        try (var file = Files.newInputStream(mixed.folder().resolve("server-cert.pem"))) {
            X509Certificate still =
                    (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(file);
            assertThat(still.getSubjectX500Principal().getName()).contains("localhost");
        }
    }

    // ---- strangers

    @Test
    void libnbdAndNbdkitDealWithUsThroughTls() throws Exception {
        serve(TlsMode.REQUIRE, true, "tester");
        String port = Integer.toString(tcp(null, true, certificates.folder()).port());
        String pki = certificates.folder().toString();
        String uri = "nbds://localhost:" + port + "/disk?tls-certificates=" + pki;
        assertThat(Stranger.succeeds("nbdinfo", uri)).contains("with TLS").contains("export-size: 1048576");
        Path copied = folder.resolve("copied.raw");
        Stranger.succeeds("nbdcopy", uri, copied.toString());
        assertThat(Files.size(copied)).isEqualTo(1 << 20);
        assertThat(Stranger.run("nbdinfo", "nbd://localhost:" + port + "/disk").exitCode())
                .isNotZero();
        Path socket = folder.resolve("nbdkit.sock");
        List<String> options =
                List.of("--foreground", "--exit-with-parent", "--tls=require", "--tls-certificates=" + pki, "--unix");
        try (StrangeServer server = StrangeServer.start("nbdkit", options, socket, "memory", "1M")) {
            NbdUri theirs =
                    new NbdUri.Unix(server.socket(), "", new NbdUri.Tls("localhost", true, certificates.folder()));
            expectOpens(theirs);
        }
    }

    @Test
    void qemuDealsWithUsThroughTls() throws Exception {
        serve(TlsMode.REQUIRE, true, "tester");
        String port = Integer.toString(tcp(null, true, certificates.folder()).port());
        String pki = certificates.folder().toString();
        String[] credentials = {
            "--object", "tls-creds-x509,id=tls0,endpoint=client,dir=" + pki,
        };
        String image = "driver=nbd,host=localhost,port=" + port + ",export=disk,tls-creds=tls0";
        String said = Stranger.succeeds("qemu-img", "info", credentials[0], credentials[1], "--image-opts", image);
        assertThat(said).contains("1 MiB");
        String list = Stranger.succeeds(
                "qemu-nbd", credentials[0], credentials[1], "--tls-creds", "tls0", "-L", "-b", "localhost", "-p", port);
        assertThat(list).contains("disk").contains("base:allocation");
        Path disk = Files.write(folder.resolve("disk.raw"), new byte[1 << 20]);
        Path socket = folder.resolve("qemu.sock");
        List<String> options = List.of(
                "--object",
                "tls-creds-x509,id=tls0,endpoint=server,verify-peer=on,dir=" + pki,
                "--tls-creds",
                "tls0",
                "--persistent",
                "--shared",
                "4",
                "--format",
                "raw",
                "--socket");
        try (StrangeServer server = StrangeServer.start("qemu-nbd", options, socket, disk.toString())) {
            expectOpens(new NbdUri.Unix(server.socket(), "", new NbdUri.Tls("localhost", true, certificates.folder())));
        }
    }
}
