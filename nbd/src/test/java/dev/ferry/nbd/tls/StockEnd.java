package dev.ferry.nbd.tls;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.security.SecureRandom;
import java.util.Hashtable;
import org.bouncycastle.tls.MaxFragmentLength;
import org.bouncycastle.tls.ProtocolVersion;
import org.bouncycastle.tls.TlsClientProtocol;
import org.bouncycastle.tls.TlsExtensionsUtils;
import org.bouncycastle.tls.TlsProtocol;
import org.bouncycastle.tls.TlsServerProtocol;
import org.bouncycastle.tls.crypto.TlsCrypto;
import org.bouncycastle.tls.crypto.impl.jcajce.JcaTlsCryptoProvider;

/** The other end of a connection by pre-shared keys: Bouncy Castle's own, records and all, and what it seldom does at will. */
interface StockEnd {
    TlsProtocol bytes();

    void begin() throws IOException;

    /** Sends a record of any type; by type 0 the last byte before zeros is the type, which is padding (RFC 8446, 5.4). */
    void record(int type, byte[] plain) throws IOException;

    void updateKey(boolean askForTheSame) throws IOException;

    /** How many changes of the key were heard. */
    int updatesHeard();

    static TlsCrypto crypto() {
        return new JcaTlsCryptoProvider().create(new SecureRandom());
    }

    /** The end that calls. */
    final class Client extends TlsClientProtocol implements StockEnd {
        private final String name;
        private final byte[] key;
        private final boolean shortRecords;
        private int updatesHeard;

        Client(String name, byte[] key) {
            this(name, key, false);
        }

        private Client(String name, byte[] key, boolean shortRecords) {
            this.name = name;
            this.key = key;
            this.shortRecords = shortRecords;
        }

        /** One that wants no records of more than 512 bytes. */
        static Client ofShortRecords(String name, byte[] key) {
            return new Client(name, key, true);
        }

        @Override
        public TlsProtocol bytes() {
            return this;
        }

        @Override
        public void begin() throws IOException {
            connect(new PskPeers.Client(crypto(), name, key) {
                @Override
                @SuppressWarnings({"rawtypes", "unchecked"}) // as Bouncy Castle has it
                public Hashtable getClientExtensions() throws IOException {
                    Hashtable extensions = super.getClientExtensions();
                    if (shortRecords) {
                        TlsExtensionsUtils.addMaxFragmentLengthExtension(extensions, MaxFragmentLength.pow2_9);
                    }
                    return extensions;
                }
            });
        }

        @Override
        public void record(int type, byte[] plain) throws IOException {
            safeWriteRecord((short) type, plain, 0, plain.length);
        }

        @Override
        public void updateKey(boolean askForTheSame) throws IOException {
            send13KeyUpdate(askForTheSame);
        }

        @Override
        protected void receive13KeyUpdate(ByteArrayInputStream message) throws IOException {
            super.receive13KeyUpdate(message);
            updatesHeard++;
        }

        @Override
        public int updatesHeard() {
            return updatesHeard;
        }
    }

    /** The end that is called. */
    final class Server extends TlsServerProtocol implements StockEnd {
        private final PskKeys keys;
        private final ProtocolVersion latest;
        private int updatesHeard;

        Server(PskKeys keys, ProtocolVersion latest) {
            this.keys = keys;
            this.latest = latest;
        }

        @Override
        public TlsProtocol bytes() {
            return this;
        }

        @Override
        public void begin() throws IOException {
            accept(new PskPeers.Server(crypto(), keys) {
                @Override
                protected ProtocolVersion[] getSupportedVersions() {
                    return latest.downTo(ProtocolVersion.TLSv12);
                }
            });
        }

        @Override
        public void record(int type, byte[] plain) throws IOException {
            safeWriteRecord((short) type, plain, 0, plain.length);
        }

        @Override
        public void updateKey(boolean askForTheSame) throws IOException {
            send13KeyUpdate(askForTheSame);
        }

        @Override
        protected void receive13KeyUpdate(ByteArrayInputStream message) throws IOException {
            super.receive13KeyUpdate(message);
            updatesHeard++;
        }

        @Override
        public int updatesHeard() {
            return updatesHeard;
        }
    }
}
