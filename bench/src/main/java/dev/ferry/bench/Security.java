package dev.ferry.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** How what is said to a server is kept secret: not at all, or by TLS. Certificates and keys are made for one measurement. */
enum Security {
    NONE(""),
    CERTIFICATES("TLS by certificates"),
    KEYS("TLS by keys");

    private static final String CLIENT = "bench";
    private static final int KEY_BYTES = 32;

    private final String label;

    Security(String label) {
        this.label = label;
    }

    String label() {
        return label;
    }

    private static Path folder(Path scratch) {
        return scratch.resolve("pki");
    }

    private static Path keys(Path scratch) {
        return scratch.resolve("keys.psk");
    }

    /** Makes what servers and clients need below a directory, if it is not there. */
    void prepare(Path scratch) {
        try {
            switch (this) {
                case NONE -> {}
                case CERTIFICATES -> {
                    if (!Files.exists(folder(scratch))) {
                        certificates(scratch, Files.createDirectory(folder(scratch)));
                    }
                }
                case KEYS -> {
                    if (!Files.exists(keys(scratch))) {
                        byte[] key = new byte[KEY_BYTES];
                        new SecureRandom().nextBytes(key);
                        Path file = Files.createFile(
                                keys(scratch),
                                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
                        Files.writeString(file, CLIENT + ":" + HexFormat.of().formatHex(key) + "\n");
                    }
                }
            }
        } catch (IOException failed) {
            throw new BenchException("cannot make certificates or keys: " + failed.getMessage(), failed);
        }
    }

    /** An authority, and a certificate of it for a server at localhost. */
    private static void certificates(Path scratch, Path folder) {
        List<String> both = List.of(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2");
        List<String> authority = new ArrayList<>(both);
        authority.addAll(List.of("-subj", "/CN=bench", "-addext", "keyUsage=critical,keyCertSign,cRLSign"));
        authority.addAll(List.of("-keyout", folder + "/ca-key.pem", "-out", folder + "/ca-cert.pem"));
        List<String> server = new ArrayList<>(both);
        server.addAll(List.of("-CA", folder + "/ca-cert.pem", "-CAkey", folder + "/ca-key.pem"));
        server.addAll(List.of("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"));
        server.addAll(List.of("-addext", "basicConstraints=critical,CA:FALSE"));
        server.addAll(List.of("-keyout", folder + "/server-key.pem", "-out", folder + "/server-cert.pem"));
        String _ = Program.run(scratch, authority);
        String _ = Program.run(scratch, server);
    }

    /** What a server is told. */
    List<String> options(Peer peer, Path scratch) {
        return switch (this) {
            case NONE -> List.of();
            case CERTIFICATES ->
                peer == Peer.NBDKIT
                        ? List.of("--tls=require", "--tls-certificates=" + folder(scratch))
                        : List.of("--tls-certificates", folder(scratch).toString());
            case KEYS ->
                peer == Peer.NBDKIT
                        ? List.of("--tls=require", "--tls-psk=" + keys(scratch))
                        : List.of("--tls-psk", keys(scratch).toString());
        };
    }

    /** How a client is told of a server at a unix socket. */
    String uri(Path socket, Path scratch) {
        return switch (this) {
            case NONE -> "nbd+unix:///?socket=" + socket;
            case CERTIFICATES ->
                "nbds+unix:///?socket=" + socket + "&tls-hostname=localhost&tls-certificates=" + folder(scratch);
            case KEYS -> "nbds+unix://" + CLIENT + "@/?socket=" + socket + "&tls-psk-file=" + keys(scratch);
        };
    }
}
