package dev.ferry.nbd.tls;

import java.io.IOException;
import org.bouncycastle.tls.TlsClientProtocol;
import org.bouncycastle.tls.TlsProtocol;
import org.bouncycastle.tls.TlsServerProtocol;

/** Bouncy Castle's protocol of one end, with what only its subclasses may ask of it. Thread: one at a time. */
sealed interface PskProtocol {
    /** The protocol itself. */
    TlsProtocol bytes();

    /** The cryptography that the protocol works with. */
    PskCrypto crypto();

    /** Who has the key: known after the handshake. */
    String name();

    /** Says the first word of a handshake, or waits for it. */
    void begin() throws IOException;

    /** Says that the next record has another key (RFC 8446, section 4.6.3), and asks the other end for the same. */
    void updateKey() throws IOException;

    /** The end that calls. */
    final class Client extends TlsClientProtocol implements PskProtocol {
        private final PskCrypto crypto = PskCrypto.create();
        private final String name;
        private final byte[] key;

        Client(String name, byte[] key) {
            this.name = name;
            this.key = key;
        }

        @Override
        public TlsProtocol bytes() {
            return this;
        }

        @Override
        public PskCrypto crypto() {
            return crypto;
        }

        @Override
        public String name() {
            return name;
        }

        @Override
        public void begin() throws IOException {
            connect(new PskPeers.Client(crypto, name, key));
        }

        @Override
        public void updateKey() throws IOException {
            send13KeyUpdate(true);
        }
    }

    /** The end that is called. */
    final class Server extends TlsServerProtocol implements PskProtocol {
        private final PskCrypto crypto = PskCrypto.create();
        private final PskPeers.Server peer;

        Server(PskKeys keys) {
            peer = new PskPeers.Server(crypto, keys);
        }

        @Override
        public TlsProtocol bytes() {
            return this;
        }

        @Override
        public PskCrypto crypto() {
            return crypto;
        }

        @Override
        public String name() {
            return peer.seen();
        }

        @Override
        public void begin() throws IOException {
            accept(peer);
        }

        @Override
        public void updateKey() throws IOException {
            send13KeyUpdate(true);
        }
    }
}
