package dev.ferry.nbd.tls;

import java.io.IOException;
import java.security.SecureRandom;
import org.bouncycastle.jcajce.util.JcaJceHelper;
import org.bouncycastle.tls.EncryptionAlgorithm;
import org.bouncycastle.tls.ProtocolVersion;
import org.bouncycastle.tls.crypto.TlsCipher;
import org.bouncycastle.tls.crypto.TlsCryptoParameters;
import org.bouncycastle.tls.crypto.impl.jcajce.JcaTlsCrypto;
import org.bouncycastle.tls.crypto.impl.jcajce.JcaTlsCryptoProvider;
import org.jspecify.annotations.Nullable;

/**
 * The cryptography of one connection by pre-shared keys: the JDK's, as Bouncy Castle calls it, but for the records of TLS 1.3,
 * which are a {@link RecordCipher}'s. Thread: one at a time.
 */
final class PskCrypto extends JcaTlsCrypto {
    private @Nullable RecordCipher records;

    private PskCrypto(JcaJceHelper helper, SecureRandom keys, SecureRandom nonces) {
        super(helper, keys, nonces);
    }

    static PskCrypto create() {
        return (PskCrypto) new Provider().create(new SecureRandom());
    }

    /** Makes what is said in the clear of another randomness than what is kept. */
    private static final class Provider extends JcaTlsCryptoProvider {
        @Override
        public JcaTlsCrypto create(SecureRandom keys, SecureRandom nonces) {
            return new PskCrypto(getHelper(), keys, nonces);
        }
    }

    /** The cipher of the records since the last change of phase; null: none yet, or one of Bouncy Castle's own. */
    @Nullable
    RecordCipher records() {
        return records;
    }

    @Override
    public TlsCipher createCipher(TlsCryptoParameters parameters, int algorithm, int mac) throws IOException {
        ProtocolVersion version = parameters.getSecurityParametersHandshake().getNegotiatedVersion();
        if (ProtocolVersion.TLSv13.equals(version) && algorithm == EncryptionAlgorithm.AES_128_GCM) {
            RecordCipher fresh = new RecordCipher(parameters);
            records = fresh;
            return fresh;
        }
        records = null;
        return super.createCipher(parameters, algorithm, mac);
    }
}
