package dev.ferry.nbd.tls;

import java.io.IOException;
import java.nio.ByteBuffer;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;
import javax.net.ssl.SSLEngineResult.HandshakeStatus;
import javax.net.ssl.SSLEngineResult.Status;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSession;
import org.bouncycastle.tls.TlsClientProtocol;
import org.bouncycastle.tls.TlsProtocol;
import org.bouncycastle.tls.TlsServerProtocol;
import org.jspecify.annotations.Nullable;

/**
 * TLS by pre-shared keys as an engine like the JDK's, which has none: Bouncy Castle's protocol, which takes and gives bytes
 * and does no I/O, behind the part of {@link SSLEngine} that a {@link dev.ferry.nbd.transport.TlsTransport} calls.
 *
 * <pre>
 *   unwrap: one record ─▶ protocol ─▶ plain bytes, or an answer that wrap has to send
 *   wrap:   plain bytes, a record's worth ─▶ protocol ─▶ one record, and what else it has to say
 * </pre>
 *
 * <p>A record of the handshake is made sense of in a delegated task, since that may take a millisecond. Everything that is
 * about suites, protocols and certificates is settled by {@link PskPeers}, and refused here. Thread: one at a time.
 */
final class PskEngine extends SSLEngine {
    private static final int HEADER_BYTES = 5;
    private static final int PLAIN_BYTES = 16 << 10;

    /** The longest record that the protocol allows in any version. */
    private static final int RECORD_BYTES_MAX = HEADER_BYTES + PLAIN_BYTES + 2048;

    /** A record, and an answer to what came meanwhile. */
    static final int PACKET_BYTES = 2 * RECORD_BYTES_MAX;

    private final TlsProtocol protocol;
    private final Start start;
    private final PskSession session;
    private final byte[] plain = new byte[PLAIN_BYTES];
    private byte @Nullable [] handed;
    private @Nullable SSLException failure;
    private boolean begun;
    private boolean outboundClosed;

    private interface Start {
        void begin() throws IOException;
    }

    private PskEngine(TlsProtocol protocol, Start start, PskSession session) {
        this.protocol = protocol;
        this.start = start;
        this.session = session;
    }

    /**
     * An engine, and by its type not one of these: who calls this would have to load the class, and Bouncy Castle with it, to be
     * verified, whether it ever needs a key or not.
     */
    static SSLEngine ofClient(String name, byte[] key) {
        TlsClientProtocol protocol = new TlsClientProtocol();
        return new PskEngine(
                protocol, () -> protocol.connect(new PskPeers.Client(name, key)), new PskSession(() -> name));
    }

    static SSLEngine ofServer(PskKeys keys) {
        TlsServerProtocol protocol = new TlsServerProtocol();
        PskPeers.Server server = new PskPeers.Server(keys);
        return new PskEngine(protocol, () -> protocol.accept(server), new PskSession(server::seen));
    }

    // ---- the handshake

    @Override
    public void beginHandshake() throws SSLException {
        if (!begun) {
            begun = true;
            try {
                start.begin();
            } catch (IOException | RuntimeException refused) {
                throw said(refused);
            }
        }
    }

    @Override
    public HandshakeStatus getHandshakeStatus() {
        if (handed != null) {
            return HandshakeStatus.NEED_TASK;
        }
        if (failure != null || protocol.getAvailableOutputBytes() > 0) {
            return HandshakeStatus.NEED_WRAP;
        }
        return begun && protocol.isHandshaking() ? HandshakeStatus.NEED_UNWRAP : HandshakeStatus.NOT_HANDSHAKING;
    }

    @Override
    public @Nullable Runnable getDelegatedTask() {
        return handed == null ? null : this::takeHanded;
    }

    private void takeHanded() {
        byte[] record = handed;
        handed = null;
        if (record != null) {
            try {
                protocol.offerInput(record);
            } catch (IOException | RuntimeException wrong) {
                failure = said(wrong);
            }
        }
    }

    private static SSLException said(Exception why) {
        return new SSLException(String.valueOf(why.getMessage()), why);
    }

    // ---- bytes

    @Override
    public SSLEngineResult unwrap(ByteBuffer from, ByteBuffer[] into, int offset, int length) throws SSLException {
        if (protocol.getAvailableInputBytes() > 0) {
            return new SSLEngineResult(Status.OK, getHandshakeStatus(), 0, give(into, offset, length));
        }
        if (protocol.isClosed()) {
            return new SSLEngineResult(Status.CLOSED, getHandshakeStatus(), 0, 0);
        }
        int bytes = recordBytes(from);
        if (bytes > from.remaining()) {
            return new SSLEngineResult(Status.BUFFER_UNDERFLOW, getHandshakeStatus(), 0, 0);
        }
        byte[] record = new byte[bytes];
        from.get(record);
        if (protocol.isHandshaking()) {
            handed = record;
            return new SSLEngineResult(Status.OK, HandshakeStatus.NEED_TASK, bytes, 0);
        }
        try {
            protocol.offerInput(record);
        } catch (IOException | RuntimeException wrong) {
            throw said(wrong);
        }
        int produced = give(into, offset, length);
        Status status = protocol.isClosed() && produced == 0 ? Status.CLOSED : Status.OK;
        return new SSLEngineResult(status, getHandshakeStatus(), bytes, produced);
    }

    /** How long the record is that begins here; more than there is if that cannot be told. */
    private static int recordBytes(ByteBuffer from) throws SSLException {
        if (from.remaining() < HEADER_BYTES) {
            return Integer.MAX_VALUE;
        }
        int bytes = HEADER_BYTES + Short.toUnsignedInt(from.getShort(from.position() + 3));
        if (bytes > RECORD_BYTES_MAX) {
            throw new SSLException("a record of " + bytes + " bytes, which is none of TLS");
        }
        return bytes;
    }

    private int give(ByteBuffer[] into, int offset, int length) {
        int given = 0;
        for (int i = offset; i < offset + length; i++) {
            int bytes = Math.min(into[i].remaining(), Math.min(protocol.getAvailableInputBytes(), PLAIN_BYTES));
            if (bytes > 0) {
                int read = protocol.readInput(plain, 0, bytes);
                into[i].put(plain, 0, read);
                given += read;
            }
        }
        return given;
    }

    @Override
    public SSLEngineResult wrap(ByteBuffer[] from, int offset, int length, ByteBuffer into) throws SSLException {
        int consumed = 0;
        int produced = say(into);
        if (failure != null && produced == 0) {
            throw failure;
        }
        if (begun && failure == null && !protocol.isHandshaking() && !protocol.isClosed()) {
            consumed = gather(from, offset, length);
            try {
                if (consumed > 0) {
                    protocol.writeApplicationData(plain, 0, consumed);
                }
            } catch (IOException | RuntimeException wrong) {
                throw said(wrong);
            }
            produced += say(into);
        }
        Status status = outboundClosed ? Status.CLOSED : Status.OK;
        return new SSLEngineResult(status, getHandshakeStatus(), consumed, produced);
    }

    private int gather(ByteBuffer[] from, int offset, int length) {
        int gathered = 0;
        int most = Math.min(PLAIN_BYTES, protocol.getApplicationDataLimit());
        for (int i = offset; i < offset + length && gathered < most; i++) {
            int bytes = Math.min(from[i].remaining(), most - gathered);
            from[i].get(plain, gathered, bytes);
            gathered += bytes;
        }
        return gathered;
    }

    private int say(ByteBuffer into) {
        int bytes = Math.min(protocol.getAvailableOutputBytes(), into.remaining());
        if (bytes == 0) {
            return 0;
        }
        byte[] said = new byte[bytes];
        int read = protocol.readOutput(said, 0, bytes);
        into.put(said, 0, read);
        return read;
    }

    // ---- the end

    @Override
    public void closeInbound() throws SSLException {
        close();
    }

    @Override
    public void closeOutbound() {
        outboundClosed = true;
        try {
            close();
        } catch (SSLException silent) {
            // It is over either way, and there is nobody to tell.
            failure = silent;
        }
    }

    private void close() throws SSLException {
        try {
            if (begun && !protocol.isClosed()) {
                protocol.close();
            }
        } catch (IOException | RuntimeException wrong) {
            throw said(wrong);
        }
    }

    @Override
    public boolean isInboundDone() {
        return protocol.isClosed();
    }

    @Override
    public boolean isOutboundDone() {
        return outboundClosed && protocol.getAvailableOutputBytes() == 0;
    }

    @Override
    public SSLSession getSession() {
        return session;
    }

    // ---- what is settled

    @Override
    public String[] getSupportedCipherSuites() {
        return new String[0];
    }

    @Override
    public String[] getEnabledCipherSuites() {
        return new String[0];
    }

    @Override
    public void setEnabledCipherSuites(String[] suites) {
        throw new UnsupportedOperationException("the suites are settled");
    }

    @Override
    public String[] getSupportedProtocols() {
        return new String[] {"TLSv1.2", "TLSv1.3"};
    }

    @Override
    public String[] getEnabledProtocols() {
        return getSupportedProtocols();
    }

    @Override
    public void setEnabledProtocols(String[] protocols) {
        throw new UnsupportedOperationException("the protocols are settled");
    }

    @Override
    public void setUseClientMode(boolean mode) {
        throw new UnsupportedOperationException("the side is settled");
    }

    @Override
    public boolean getUseClientMode() {
        return protocol instanceof TlsClientProtocol;
    }

    @Override
    public void setNeedClientAuth(boolean need) {
        throw new UnsupportedOperationException("there are no certificates");
    }

    @Override
    public boolean getNeedClientAuth() {
        return true;
    }

    @Override
    public void setWantClientAuth(boolean want) {
        throw new UnsupportedOperationException("there are no certificates");
    }

    @Override
    public boolean getWantClientAuth() {
        return false;
    }

    @Override
    public void setEnableSessionCreation(boolean may) {
        throw new UnsupportedOperationException("sessions are not resumed");
    }

    @Override
    public boolean getEnableSessionCreation() {
        return true;
    }
}
