package dev.ferry.nbd.transport;

import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.NativeBytes;
import dev.ferry.reactor.Sockets;
import java.nio.ByteBuffer;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/**
 * A socket with TLS on it, by the JDK's engine. Above it looks like a socket: one receive and one send at a time, each an
 * operation that ends later. The bytes go through {@link TlsRecords}.
 *
 * <p>What is slow in a handshake runs on another thread. The engine allocates for each record: unlike a plain socket, this
 * one is not free of garbage. Specification: section "TLS support" of {@code doc/proto.md}.
 */
public final class TlsTransport extends Transport {
    private EventLoop loop;
    private final SSLEngine engine;
    private final TlsRecords records;
    private final Filling filling = new Filling();
    private final Draining draining = new Draining();
    private final Working working = new Working();
    private @Nullable IoOperation handshaker;
    private String failure = "";
    private boolean failed;
    private boolean ended;
    private boolean closing;

    // ---- the receive that is waiting
    private @Nullable IoOperation reader;
    private @Nullable ByteBuffer readInto;
    private boolean readWhole;
    private boolean readCancelled;

    // ---- the send that is under way
    private @Nullable IoOperation writer;

    /**
     * @param socket connected, and nobody else's
     * @param early bytes of TLS that came before this was made
     */
    public TlsTransport(EventLoop loop, int socket, SSLEngine engine, ByteBuffer early) {
        super(socket);
        this.loop = loop;
        this.engine = engine;
        this.records = new TlsRecords(engine, early);
    }

    /** Shakes hands; the result is 1, or an errno below zero, and then {@link #failure} says why. */
    public void handshake(IoOperation operation) {
        loop.hold(operation);
        handshaker = operation;
        try {
            engine.beginHandshake();
            proceed();
        } catch (SSLException refused) {
            fail(refused);
        }
    }

    /** What went wrong, in words. */
    public String failure() {
        return failure;
    }

    /** Who is at the other end, after the handshake. */
    public SSLSession session() {
        return engine.getSession();
    }

    @Override
    public EventLoop loop() {
        return loop;
    }

    @Override
    public boolean inTheClear() {
        return false;
    }

    @Override
    public Transport moveTo(EventLoop other) {
        loop = other;
        return this;
    }

    // ---- the handshake

    private void proceed() throws SSLException {
        while (handshaker != null) {
            switch (engine.getHandshakeStatus()) {
                case NEED_TASK -> {
                    loop.offload(working, working);
                    return;
                }
                case NEED_WRAP -> {
                    if (records.encryptNothing()) {
                        drain();
                        return;
                    }
                }
                case NEED_UNWRAP, NEED_UNWRAP_AGAIN -> {
                    if (!records.shakeHands()) {
                        fill();
                        return;
                    }
                }
                case FINISHED, NOT_HANDSHAKING -> {
                    IoOperation done = handshaker;
                    handshaker = null;
                    loop.end(done, 1);
                }
            }
        }
    }

    private final class Working extends IoOperation implements EventLoop.BlockingWork {
        @Override
        public int run() {
            records.runTasks();
            return 1;
        }

        @Override
        protected void completed(int result) {
            goOn();
        }
    }

    /** Whatever has happened, does what can be done now. */
    private void goOn() {
        try {
            if (handshaker != null) {
                proceed();
            } else {
                pumpIn();
                pumpOut();
            }
        } catch (SSLException broken) {
            fail(broken);
        }
    }

    /** Nothing more goes in or out; whoever waits is told. */
    private void fail(SSLException why) {
        if (!failed) {
            failed = true;
            failure = String.valueOf(why.getMessage());
            sayGoodbye();
            shutdown();
        }
        endAll(-Errno.ECONNABORTED);
    }

    private void endAll(int result) {
        IoOperation greeting = handshaker;
        handshaker = null;
        if (greeting != null) {
            loop.end(greeting, result);
        }
        if (!filling.inFlight()) {
            endRead(result);
        }
        IoOperation sending = writer;
        if (sending != null && !draining.inFlight()) {
            writer = null;
            loop.end(sending, result);
        }
    }

    // ---- the socket

    private void fill() {
        int room = records.makeRoom();
        loop.receive(socket(), records.roomAddress(), room, filling);
    }

    private final class Filling extends IoOperation {
        @Override
        protected void completed(int result) {
            if (result > 0) {
                records.came(result);
            } else {
                ended = true;
                if (failure.isEmpty()) {
                    failure = result == 0 ? "the other end closed the connection" : Errno.text(result);
                }
            }
            if (failed || (result <= 0 && handshaker != null)) {
                endAll(result < 0 ? result : -Errno.ECONNRESET);
            } else if (readCancelled) {
                endRead(-Errno.ECANCELED);
            } else {
                goOn();
            }
        }
    }

    private void drain() {
        loop.send(socket(), records.outAddress(), records.outBytes(), draining);
    }

    private final class Draining extends IoOperation {
        @Override
        protected void completed(int result) {
            if (closing) {
                close();
            } else if (result <= 0 || failed) {
                if (failure.isEmpty()) {
                    failure = Errno.text(result < 0 ? result : -Errno.EPIPE);
                }
                endAll(result < 0 ? result : -Errno.EPIPE);
            } else {
                goOn();
            }
        }
    }

    // ---- receiving

    @Override
    public void receive(long address, int length, IoOperation operation) {
        read(address, length, operation, false);
    }

    @Override
    public void receiveFully(long address, int length, IoOperation operation) {
        read(address, length, operation, true);
    }

    private void read(long address, int length, IoOperation operation, boolean whole) {
        loop.hold(operation);
        reader = operation;
        readInto = NativeBytes.at(address, length);
        readWhole = whole;
        readCancelled = false;
        if (failed) {
            endRead(-Errno.ECONNABORTED);
        } else {
            goOn();
        }
    }

    private void endRead(int result) {
        IoOperation reading = reader;
        if (reading != null) {
            reader = null;
            readInto = null;
            loop.end(reading, result);
        }
    }

    private void pumpIn() throws SSLException {
        ByteBuffer into = readInto;
        if (into == null || filling.inFlight()) {
            return;
        }
        boolean filled = records.decryptInto(into);
        if (filled || ended || records.ended() || (into.position() > 0 && !readWhole)) {
            endRead(into.position());
        } else {
            fill();
        }
    }

    @Override
    public void cancel(IoOperation operation) {
        if (operation == reader) {
            readCancelled = true;
            loop.cancel(filling);
        }
    }

    // ---- sending

    @Override
    public void send(long address, int length, IoOperation operation) {
        begin(new ByteBuffer[] {NativeBytes.at(address, length)}, operation);
    }

    @Override
    public void sendVectors(long vectors, int count, IoOperation operation) {
        ByteBuffer[] pieces = new ByteBuffer[count];
        for (int i = 0; i < count; i++) {
            long vector = vectors + 16L * i;
            pieces[i] = NativeBytes.at(NativeBytes.vectorAddress(vector), (int) NativeBytes.vectorLength(vector));
        }
        begin(pieces, operation);
    }

    private void begin(ByteBuffer[] pieces, IoOperation operation) {
        loop.hold(operation);
        writer = operation;
        records.begin(pieces);
        if (failed) {
            endAll(-Errno.ECONNABORTED);
        } else {
            goOn();
        }
    }

    private void pumpOut() throws SSLException {
        if (draining.inFlight()) {
            return;
        }
        if (records.encrypt()) {
            drain();
            return;
        }
        IoOperation sending = writer;
        if (sending != null) {
            writer = null;
            loop.end(sending, records.end());
        }
    }

    // ---- the end

    /** What the protocol wants said last, if the socket takes it at once. */
    private void sayGoodbye() {
        if (draining.inFlight()) {
            return;
        }
        try {
            engine.closeOutbound();
            if (records.encryptNothing()) {
                Sockets.sendNow(socket(), records.outAddress(), records.outBytes());
            }
        } catch (SSLException silent) {
            // The connection ends either way.
            failed = true;
        }
    }

    /** Closes; a message of TLS's own may still be leaving, and is waited for. */
    @Override
    public void close() {
        if (draining.inFlight()) {
            closing = true;
            shutdown();
            return;
        }
        if (!failed) {
            sayGoodbye();
        }
        super.close();
        records.release(!filling.inFlight());
    }
}
