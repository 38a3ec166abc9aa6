package dev.ferry.nbd.tls;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Vector;
import org.bouncycastle.tls.AlertDescription;
import org.bouncycastle.tls.BasicTlsPSKExternal;
import org.bouncycastle.tls.BasicTlsPSKIdentity;
import org.bouncycastle.tls.CipherSuite;
import org.bouncycastle.tls.PSKTlsClient;
import org.bouncycastle.tls.PSKTlsServer;
import org.bouncycastle.tls.ProtocolVersion;
import org.bouncycastle.tls.PskIdentity;
import org.bouncycastle.tls.TlsFatalAlert;
import org.bouncycastle.tls.TlsPSK;
import org.bouncycastle.tls.TlsPSKExternal;
import org.bouncycastle.tls.TlsPSKIdentityManager;
import org.bouncycastle.tls.crypto.TlsCrypto;
import org.jspecify.annotations.Nullable;

/**
 * The two ends of TLS by pre-shared keys, 1.3 and 1.2, as Bouncy Castle wants them described: never without a fresh exchange
 * of Diffie and Hellman, so that a key that becomes known tells nothing of what was said before. The ciphers are the JDK's.
 */
final class PskPeers {
    /** Not ChaCha20, which the JDK has by another name than Bouncy Castle asks for. */
    private static final int[] SUITES = {
        CipherSuite.TLS_AES_128_GCM_SHA256,
        CipherSuite.TLS_DHE_PSK_WITH_AES_128_GCM_SHA256,
        CipherSuite.TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256,
    };

    private PskPeers() {}

    private static TlsPSKExternal external(TlsCrypto crypto, String name, byte[] key) {
        return new BasicTlsPSKExternal(name.getBytes(StandardCharsets.UTF_8), crypto.createSecret(key));
    }

    /** One who shows a name, and goes on only with a server that has its key. */
    static class Client extends PSKTlsClient {
        private final String name;
        private final byte[] key;

        Client(TlsCrypto crypto, String name, byte[] key) {
            super(crypto, new BasicTlsPSKIdentity(name, key));
            this.name = name;
            this.key = key;
        }

        @Override
        protected ProtocolVersion[] getSupportedVersions() {
            return ProtocolVersion.TLSv13.downTo(ProtocolVersion.TLSv12);
        }

        @Override
        protected int[] getSupportedCipherSuites() {
            return SUITES.clone();
        }

        @Override
        public Vector<TlsPSKExternal> getExternalPSKs() {
            Vector<TlsPSKExternal> one = new Vector<>();
            one.add(external(getCrypto(), name, key));
            return one;
        }

        @Override
        public void notifySelectedPSK(@Nullable TlsPSK selected) throws IOException {
            if (selected == null) {
                throw new TlsFatalAlert(AlertDescription.handshake_failure, "the server does not use the key");
            }
        }
    }

    /** One who lets in whoever has a key of these, and knows him by its name. */
    static class Server extends PSKTlsServer implements TlsPSKIdentityManager {
        private final PskKeys keys;
        private volatile String seen = "";

        Server(TlsCrypto crypto, PskKeys keys) {
            super(crypto, null);
            this.keys = keys;
            this.pskIdentityManager = this;
        }

        /** The name that the other end has shown; it has its key too if the handshake ends well. */
        String seen() {
            return seen;
        }

        @Override
        protected ProtocolVersion[] getSupportedVersions() {
            return ProtocolVersion.TLSv13.downTo(ProtocolVersion.TLSv12);
        }

        @Override
        protected int[] getSupportedCipherSuites() {
            return SUITES.clone();
        }

        @Override
        @SuppressWarnings("rawtypes") // as Bouncy Castle has it
        public @Nullable TlsPSKExternal getExternalPSK(Vector identities) {
            for (Object identity : identities) {
                String name = new String(((PskIdentity) identity).getIdentity(), StandardCharsets.UTF_8);
                byte[] key = keys.key(name);
                if (key != null) {
                    seen = name;
                    return external(getCrypto(), name, key);
                }
            }
            return null;
        }

        @Override
        public byte @Nullable [] getHint() {
            return null;
        }

        @Override
        public byte @Nullable [] getPSK(byte[] identity) {
            seen = new String(identity, StandardCharsets.UTF_8);
            return keys.key(seen);
        }
    }
}
