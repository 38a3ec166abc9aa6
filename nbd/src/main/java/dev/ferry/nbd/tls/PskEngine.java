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
import org.jspecify.annotations.Nullable;

/**
 * TLS by pre-shared keys as an engine like the JDK's, which has none: Bouncy Castle's protocol, which takes and gives bytes
 * and does no I/O, behind the part of {@link SSLEngine} that a {@link dev.ferry.nbd.transport.TlsTransport} calls.
 *
 * <pre>
 *   unwrap: one record ─┬▶ {@link RecordCipher} ─▶ plain bytes
 *                       └▶ protocol, if it is no data, or wrong ─▶ an answer that wrap has to send
 *   wrap:   what the protocol has to say, then plain bytes, a record's worth ─▶ RecordCipher ─▶ one record
 * </pre>
 *
 * <p>By TLS 1.2, data goes through the protocol both ways. A record of the handshake is made sense of in
 * a delegated task, since that may take a millisecond. Everything that is about suites, protocols and certificates is settled by
 * {@link PskPeers}, and refused here. Thread: one at a time.
 */
final class PskEngine extends SSLEngine {
    private static final int HEADER_BYTES = RecordCipher.HEADER_BYTES;

    /** The longest record that the protocol allows in any version. */
    private static final int RECORD_BYTES_MAX = HEADER_BYTES + RecordCipher.PLAIN_BYTES_MAX + 2048;

    /** A record, and an answer to what came meanwhile. */
    static final int PACKET_BYTES = 2 * RECORD_BYTES_MAX;

    /** A record's worth on its way through; holds nothing between two calls. */
    private static final ThreadLocal<byte[]> SCRATCH = ThreadLocal.withInitial(() -> new byte[RECORD_BYTES_MAX]);

    private final PskProtocol end;
    private final TlsProtocol protocol;
    private final PskSession session;
    private byte @Nullable [] handed;
    private @Nullable SSLException failure;
    private boolean begun;
    private boolean outboundClosed;

    /** The protocol has heard what it may have to answer before more data leaves. */
    private boolean heard;

    private PskEngine(PskProtocol end) {
        this.end = end;
        this.protocol = end.bytes();
        this.session = new PskSession(end::name);
    }

    /**
     * An engine, and by its type not one of these: who calls this would have to load the class, and Bouncy Castle with it, to be
     * verified, whether it ever needs a key or not.
     */
    static SSLEngine ofClient(String name, byte[] key) {
        return new PskEngine(new PskProtocol.Client(name, key));
    }

    static SSLEngine ofServer(PskKeys keys) {
        return new PskEngine(new PskProtocol.Server(keys));
    }

    // ---- the handshake

    @Override
    public void beginHandshake() throws SSLException {
        if (!begun) {
            begun = true;
            try {
                end.begin();
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
        boolean handshaking = protocol.isHandshaking();
        int opened = handshaking ? -1 : open(from, bytes, into, offset, length);
        if (opened >= 0) {
            return new SSLEngineResult(Status.OK, getHandshakeStatus(), bytes, opened);
        }
        byte[] record = new byte[bytes];
        from.get(record);
        if (handshaking) {
            handed = record;
            return new SSLEngineResult(Status.OK, HandshakeStatus.NEED_TASK, bytes, 0);
        }
        heard = true;
        try {
            protocol.offerInput(record);
        } catch (IOException | RuntimeException wrong) {
            throw said(wrong);
        }
        int produced = give(into, offset, length);
        Status status = protocol.isClosed() && produced == 0 ? Status.CLOSED : Status.OK;
        return new SSLEngineResult(status, getHandshakeStatus(), bytes, produced);
    }

    /** Takes the data out of a record; below zero: the protocol has to look at it. */
    private int open(ByteBuffer from, int bytes, ByteBuffer[] into, int offset, int length) {
        RecordCipher records = end.crypto().records();
        if (records == null || !from.hasArray() || room(into, offset, length) < bytes - RecordCipher.EXTRA_BYTES) {
            return -1;
        }
        byte[] plain = SCRATCH.get();
        int opened = records.open(from.array(), from.arrayOffset() + from.position(), bytes, plain);
        if (opened >= 0) {
            from.position(from.position() + bytes);
            int given = 0;
            for (int i = offset; given < opened; i++) {
                int part = Math.min(into[i].remaining(), opened - given);
                into[i].put(plain, given, part);
                given += part;
            }
        }
        return opened;
    }

    private static long room(ByteBuffer[] into, int offset, int length) {
        long room = 0;
        for (int i = offset; i < offset + length; i++) {
            room += into[i].remaining();
        }
        return room;
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
            given += protocol.readInput(into[i], into[i].remaining());
        }
        return given;
    }

    @Override
    public SSLEngineResult wrap(ByteBuffer[] from, int offset, int length, ByteBuffer into) throws SSLException {
        int before = into.position();
        int consumed = 0;
        say(into);
        if (failure != null && into.position() == before) {
            throw failure;
        }
        if (begun && failure == null && !protocol.isHandshaking() && !protocol.isClosed()) {
            try {
                consumed = write(from, offset, length, into);
            } catch (IOException | RuntimeException wrong) {
                throw said(wrong);
            }
        }
        Status status = outboundClosed ? Status.CLOSED : Status.OK;
        return new SSLEngineResult(status, getHandshakeStatus(), consumed, into.position() - before);
    }

    /** Sends a record's worth of data, or none if there is none. */
    private int write(ByteBuffer[] from, int offset, int length, ByteBuffer into) throws IOException {
        RecordCipher records = end.crypto().records();
        if (records != null && records.needsKey()) {
            end.updateKey();
            say(into);
        }
        int most = Math.min(RecordCipher.PLAIN_BYTES_MAX, protocol.getApplicationDataLimit());
        if (records == null || heard || !into.hasArray()) {
            byte[] plain = SCRATCH.get();
            int gathered = gather(from, offset, length, plain, 0, most);
            protocol.writeApplicationData(plain, 0, gathered);
            heard &= gathered == 0;
            say(into);
            return gathered;
        }
        int room = into.remaining() - RecordCipher.EXTRA_BYTES;
        int at = into.arrayOffset() + into.position();
        int gathered = gather(from, offset, length, into.array(), at + RecordCipher.HEADER_BYTES, Math.min(most, room));
        if (gathered > 0) {
            into.position(into.position() + records.seal(into.array(), at, gathered));
        }
        return gathered;
    }

    private static int gather(ByteBuffer[] from, int offset, int length, byte[] array, int at, int most) {
        int gathered = 0;
        for (int i = offset; i < offset + length && gathered < most; i++) {
            int bytes = Math.min(from[i].remaining(), most - gathered);
            from[i].get(array, at + gathered, bytes);
            gathered += bytes;
        }
        return gathered;
    }

    private void say(ByteBuffer into) {
        protocol.readOutput(into, into.remaining());
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
