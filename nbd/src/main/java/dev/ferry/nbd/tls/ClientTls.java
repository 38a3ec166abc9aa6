package dev.ferry.nbd.tls;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import org.jspecify.annotations.Nullable;

/**
 * What a client does about TLS with a server that it knows by name.
 *
 * @param credentials its own, and whom it trusts; null where there is a key
 * @param hostName the name, or the address, that the server's certificate must have; null: whatever it has
 * @param key what both have beforehand; null: there are certificates
 */
public record ClientTls(
        @Nullable TlsCredentials credentials,
        @Nullable String hostName,
        @Nullable Key key) {
    /** A pre-shared key by its name. */
    public record Key(PskKeys keys, String name) {}

    /**
     * By what an NBD URI says.
     *
     * @param certificates a directory as libnbd and QEMU use them; null: the authorities that this Java trusts
     * @param hostName null if nothing names the server; its certificate is then checked, and its name is not
     * @param verify false: any certificate will do
     */
    public static ClientTls of(@Nullable Path certificates, @Nullable String hostName, boolean verify)
            throws IOException {
        TlsFiles files = certificates == null ? new TlsFiles(null, null, null) : TlsFiles.ofClient(certificates);
        return verify
                ? new ClientTls(TlsCredentials.load(files), hostName, null)
                : new ClientTls(TlsCredentials.trustingAnybody(files), null, null);
    }

    /**
     * By a pre-shared key: whoever has it as well is the server.
     *
     * @param name whose key; null: the only one of the file
     */
    public static ClientTls ofKey(Path file, @Nullable String name) throws IOException {
        PskKeys keys = PskKeys.read(file);
        String chosen = name == null ? keys.onlyName() : name;
        if (chosen == null) {
            throw new IOException(file + " has the keys of several; say whose: nbds://NAME@HOST");
        }
        if (keys.key(chosen) == null) {
            throw new IOException(file + " has no key of " + chosen);
        }
        return new ClientTls(null, null, new Key(keys, chosen));
    }

    /** An engine for one connection. */
    public SSLEngine engine(int port) {
        if (key != null) {
            return PskEngine.ofClient(
                    key.name(), Objects.requireNonNull(key.keys().key(key.name())));
        }
        SSLContext context = Objects.requireNonNull(credentials).context();
        SSLEngine engine = hostName == null ? context.createSSLEngine() : context.createSSLEngine(hostName, port);
        engine.setUseClientMode(true);
        if (hostName != null) {
            SSLParameters parameters = engine.getSSLParameters();
            // The rules by which a name fits a certificate are those of HTTPS (RFC 2818, RFC 6125).
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            engine.setSSLParameters(parameters);
        }
        return engine;
    }
}
