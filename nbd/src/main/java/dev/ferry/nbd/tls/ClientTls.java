package dev.ferry.nbd.tls;

import java.io.IOException;
import java.nio.file.Path;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import org.jspecify.annotations.Nullable;

/**
 * What a client does about TLS with a server that it knows by name.
 *
 * @param credentials its own, and whom it trusts
 * @param hostName the name, or the address, that the server's certificate must have; null: whatever it has
 */
public record ClientTls(
        TlsCredentials credentials, @Nullable String hostName) {
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
                ? new ClientTls(TlsCredentials.load(files), hostName)
                : new ClientTls(TlsCredentials.trustingAnybody(files), null);
    }

    /** An engine for one connection. */
    public SSLEngine engine(int port) {
        SSLEngine engine = hostName == null
                ? credentials.context().createSSLEngine()
                : credentials.context().createSSLEngine(hostName, port);
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
