package dev.ferry.nbd.tls;

import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Where an end of a connection finds its certificates, all in PEM.
 *
 * @param authorities who vouches for the other end; null: whom this Java trusts
 * @param certificate its own, with those between it and the authority behind it; null: it has none
 * @param key the private key of its certificate, without a passphrase; null: it has none
 * @param revocations which certificates the authorities have taken back; a file that may come later. While it is there,
 *     every authority that vouches for somebody must have a list that is not out of date
 */
public record TlsFiles(
        @Nullable Path authorities,
        @Nullable Path certificate,
        @Nullable Path key,
        @Nullable Path revocations) {
    /** Nothing is ever taken back. */
    public TlsFiles(@Nullable Path authorities, @Nullable Path certificate, @Nullable Path key) {
        this(authorities, certificate, key, null);
    }

    /** The names that QEMU and nbdkit use for a server: {@code ca-cert.pem}, {@code server-cert.pem}, {@code server-key.pem}, {@code ca-crl.pem}. */
    public static TlsFiles ofServer(Path directory) {
        return new TlsFiles(
                directory.resolve("ca-cert.pem"),
                directory.resolve("server-cert.pem"),
                directory.resolve("server-key.pem"),
                directory.resolve("ca-crl.pem"));
    }

    /** The names that QEMU and libnbd use for a client; one without a certificate of its own has only the authority. */
    public static TlsFiles ofClient(Path directory) {
        Path certificate = directory.resolve("client-cert.pem");
        boolean own = Files.exists(certificate);
        return new TlsFiles(
                directory.resolve("ca-cert.pem"),
                own ? certificate : null,
                own ? directory.resolve("client-key.pem") : null,
                directory.resolve("ca-crl.pem"));
    }
}
