package dev.ferry.nbd.tls;

import java.security.Principal;
import java.security.cert.Certificate;
import java.util.function.Supplier;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSessionContext;
import org.jspecify.annotations.Nullable;

/** What there is to know of a connection by pre-shared keys: by whose name, and how long records get. */
final class PskSession implements SSLSession {
    private final Supplier<String> name;

    PskSession(Supplier<String> name) {
        this.name = name;
    }

    /** The name of the key, after the handshake. */
    String name() {
        return name.get();
    }

    @Override
    public int getPacketBufferSize() {
        return PskEngine.PACKET_BYTES;
    }

    @Override
    public int getApplicationBufferSize() {
        return RecordCipher.PLAIN_BYTES_MAX;
    }

    @Override
    public Principal getPeerPrincipal() {
        return this::name;
    }

    @Override
    public @Nullable Principal getLocalPrincipal() {
        return null;
    }

    @Override
    public Certificate[] getPeerCertificates() throws SSLPeerUnverifiedException {
        throw new SSLPeerUnverifiedException("there are no certificates");
    }

    @Override
    public Certificate @Nullable [] getLocalCertificates() {
        return null;
    }

    @Override
    public String getCipherSuite() {
        return "";
    }

    @Override
    public String getProtocol() {
        return "TLS";
    }

    @Override
    public byte[] getId() {
        return new byte[0];
    }

    @Override
    public @Nullable SSLSessionContext getSessionContext() {
        return null;
    }

    @Override
    public long getCreationTime() {
        return 0;
    }

    @Override
    public long getLastAccessedTime() {
        return 0;
    }

    @Override
    public void invalidate() {
        // It is not resumed anyway.
    }

    @Override
    public boolean isValid() {
        return true;
    }

    @Override
    public void putValue(String key, Object value) {
        throw new UnsupportedOperationException("nothing is kept");
    }

    @Override
    public @Nullable Object getValue(String key) {
        return null;
    }

    @Override
    public void removeValue(String key) {
        // Nothing is kept.
    }

    @Override
    public String[] getValueNames() {
        return new String[0];
    }

    @Override
    public @Nullable String getPeerHost() {
        return null;
    }

    @Override
    public int getPeerPort() {
        return -1;
    }
}
