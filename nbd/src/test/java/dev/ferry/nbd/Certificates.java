package dev.ferry.nbd;

import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;

/** Certificates of a test, made by openssl: a directory as QEMU, nbdkit and libnbd use it. */
final class Certificates {
    private final Path folder;

    private Certificates(Path folder) {
        this.folder = folder;
    }

    /** An authority, and certificates for a server at localhost and a client called {@code tester}. */
    static Certificates make(Path folder) throws IOException, InterruptedException {
        Files.createDirectories(folder);
        Certificates made = new Certificates(folder);
        made.authority();
        made.server("localhost", "DNS:localhost,IP:127.0.0.1");
        made.issue("client", "tester", "DNS:tester", "ec");
        return made;
    }

    Path folder() {
        return folder;
    }

    private String path(String name) {
        return folder.resolve(name).toString();
    }

    private void authority() throws IOException, InterruptedException {
        Stranger.succeeds(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                path("ca-key.pem"),
                "-out",
                path("ca-cert.pem"),
                "-days",
                "2",
                "-subj",
                "/CN=an authority of tests",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign");
    }

    /** Another certificate for the server, in place of the one that there is. */
    void server(String name, String alternatives) throws IOException, InterruptedException {
        issue("server", name, alternatives, "rsa");
    }

    /** The key of a server in the older form that {@code openssl rsa -traditional} and certtool write. */
    void oldServerKey() throws IOException, InterruptedException {
        Stranger.succeeds("openssl", "rsa", "-traditional", "-in", path("server-key.pem"), "-out", path("old-key.pem"));
        Files.move(
                folder.resolve("old-key.pem"), folder.resolve("server-key.pem"), StandardCopyOption.REPLACE_EXISTING);
    }

    void issue(String who, String name, String alternatives, String kind) throws IOException, InterruptedException {
        boolean rsa = kind.equals("rsa");
        Stranger.succeeds(
                "openssl",
                "req",
                "-newkey",
                rsa ? "rsa:2048" : "ec",
                "-pkeyopt",
                rsa ? "rsa_keygen_bits:2048" : "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                path(who + "-key.new"),
                "-out",
                path(who + ".csr"),
                "-subj",
                "/O=tests/CN=" + name);
        Path extensions = Files.writeString(
                folder.resolve(who + ".ext"),
                "subjectAltName=" + alternatives + "\nbasicConstraints=CA:FALSE\n"
                        + "keyUsage=digitalSignature,keyEncipherment\n"
                        + "extendedKeyUsage=" + (who.equals("server") ? "serverAuth" : "clientAuth") + "\n");
        Stranger.succeeds(
                "openssl",
                "x509",
                "-req",
                "-in",
                path(who + ".csr"),
                "-CA",
                path("ca-cert.pem"),
                "-CAkey",
                path("ca-key.pem"),
                "-set_serial",
                "0x" + Long.toHexString(System.nanoTime()),
                "-days",
                "2",
                "-extfile",
                extensions.toString(),
                "-out",
                path(who + "-cert.new"));
        for (String part : new String[] {"-key", "-cert"}) {
            Files.move(
                    folder.resolve(who + part + ".new"),
                    folder.resolve(who + part + ".pem"),
                    StandardCopyOption.REPLACE_EXISTING);
        }
    }

    /** Writes the list of what the authority has taken back, {@code ca-crl.pem}, with these certificates on it too. */
    void revoke(String... who) throws IOException, InterruptedException {
        Path index = folder.resolve("index.txt");
        if (!Files.exists(index)) {
            Files.createFile(index);
        }
        Path settings = Files.writeString(
                folder.resolve("ca.conf"),
                "[ca]\ndefault_ca = own\n[own]\ndefault_md = sha256\ndefault_crl_days = 2\ndatabase = " + index + "\n");
        for (String one : who) {
            authorityDoes(settings, "-revoke", path(one + "-cert.pem"));
        }
        authorityDoes(settings, "-gencrl", "-out", path("ca-crl.new"));
        Files.move(folder.resolve("ca-crl.new"), folder.resolve("ca-crl.pem"), StandardCopyOption.REPLACE_EXISTING);
    }

    private void authorityDoes(Path settings, String... what) throws IOException, InterruptedException {
        List<String> arguments = new ArrayList<>(List.of(
                "ca", "-config", settings.toString(), "-keyfile", path("ca-key.pem"), "-cert", path("ca-cert.pem")));
        arguments.addAll(List.of(what));
        Stranger.succeeds("openssl", arguments.toArray());
    }
}
