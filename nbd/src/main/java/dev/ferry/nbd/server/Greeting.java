package dev.ferry.nbd.server;

import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.transport.TlsTransport;
import dev.ferry.nbd.transport.Transport;
import dev.ferry.nbd.wire.ServerHandshake;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import java.nio.ByteBuffer;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A connection in the handshake, on the loop of its listener: sends what there is to send, then receives, and never does
 * both, so that a client that does not listen is not listened to. Has a deadline.
 */
final class Greeting extends IoOperation {
    private static final int BUFFER_BYTES = 4096;

    /** What it needs of memory. */
    static final int MEMORY_BYTES = 2 * BUFFER_BYTES;

    private enum Doing {
        SENDING,
        RECEIVING,
        /** Certificates may have changed; files are read elsewhere. */
        REFRESHING,
        SECURING
    }

    private final NbdServer server;
    private final EventLoop loop;
    private final ServerTls tls;
    private Transport transport;
    private @Nullable TlsTransport securing;
    private final ServerHandshake handshake;
    private final IoBuffer buffer;
    private final ByteBuffer input;
    private ServerHandshake.Outcome outcome = ServerHandshake.Outcome.CONTINUE;
    private Doing doing = Doing.SENDING;
    private byte[] output = new byte[0];
    private int outputSent;
    private boolean aborted;
    private boolean over;
    private EventLoop.Timer deadline = () -> {};

    /** @param memory {@link #MEMORY_BYTES} of it, given back to the server at the end */
    Greeting(NbdServer server, EventLoop loop, int socket, ServerTls tls, IoBuffer memory) {
        this.buffer = memory;
        this.server = server;
        this.loop = loop;
        this.transport = Transport.plain(loop, socket);
        this.tls = tls;
        this.handshake = new ServerHandshake(server, tls.mode());
        this.input = buffer.segment().asSlice(0, BUFFER_BYTES).asByteBuffer().limit(0);
    }

    void begin(long deadlineNanos) {
        deadline = loop.schedule(deadlineNanos, this::abort);
        proceed();
    }

    /** Ends the handshake at once. On the loop. */
    void abort() {
        aborted = true;
        if (!over) {
            transport.shutdown();
        }
    }

    @Override
    protected void completed(int result) {
        if (result <= 0 || aborted) {
            close();
            return;
        }
        switch (doing) {
            case SENDING -> outputSent += result;
            case RECEIVING -> input.limit(input.limit() + result);
            case REFRESHING -> {
                secure();
                return;
            }
            case SECURING -> {
                if (!tls.admits(Objects.requireNonNull(securing).session())) {
                    close();
                    return;
                }
                securing = null;
            }
        }
        proceed();
    }

    // ---- TLS

    private void refresh() {
        outcome = ServerHandshake.Outcome.CONTINUE;
        doing = Doing.REFRESHING;
        loop.offload(
                () -> {
                    tls.refresh();
                    return 1;
                },
                this);
    }

    /** What the client has sent behind its wish for TLS is taken for TLS, so that nothing said in the clear is believed. */
    private void secure() {
        TlsTransport secure;
        try {
            secure = new TlsTransport(loop, transport.socket(), tls.engine(), input);
        } catch (OutOfMemoryError none) {
            close();
            return;
        }
        input.limit(input.position());
        transport = secure;
        securing = secure;
        doing = Doing.SECURING;
        secure.handshake(this);
    }

    private void proceed() {
        while (true) {
            if (outputSent == output.length && !handshake.output().isEmpty()) {
                output = handshake.output().take();
                outputSent = 0;
            }
            if (outputSent < output.length) {
                send();
                return;
            }
            switch (outcome) {
                case TRANSMISSION -> {
                    move();
                    return;
                }
                case CLOSE -> {
                    close();
                    return;
                }
                case START_TLS -> {
                    refresh();
                    return;
                }
                case CONTINUE -> {}
            }
            int before = input.remaining();
            outcome = handshake.step(input);
            boolean stuck = input.remaining() == before && handshake.output().isEmpty();
            if (outcome == ServerHandshake.Outcome.CONTINUE && stuck) {
                receive();
                return;
            }
        }
    }

    private void send() {
        int length = Math.min(BUFFER_BYTES, output.length - outputSent);
        buffer.copyFrom(output, outputSent, BUFFER_BYTES, length);
        doing = Doing.SENDING;
        transport.send(buffer.address() + BUFFER_BYTES, length, this);
    }

    private void receive() {
        input.compact();
        input.flip();
        doing = Doing.RECEIVING;
        int at = input.limit();
        transport.receive(buffer.address() + at, BUFFER_BYTES - at, this);
    }

    private void move() {
        over = true;
        deadline.cancel();
        byte[] early = new byte[input.remaining()];
        input.get(early);
        server.giveBack(buffer);
        server.greeted(this, transport, handshake.terms(), early);
    }

    private void close() {
        over = true;
        deadline.cancel();
        transport.close();
        server.giveBack(buffer);
        boolean reserved = outcome == ServerHandshake.Outcome.TRANSMISSION;
        server.turnedAway(this, reserved ? handshake.terms() : null);
    }
}
