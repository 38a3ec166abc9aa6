package dev.ferry.nbd.server;

import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.wire.ServerHandshake;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;
import java.nio.ByteBuffer;

/**
 * A connection in the handshake, on the loop of its listener: sends what there is to send, then receives, and never does
 * both, so that a client that does not listen is not listened to. Has a deadline.
 */
final class Greeting extends IoOperation {
    private static final int BUFFER_BYTES = 4096;

    private enum Doing {
        SENDING,
        RECEIVING
    }

    private final NbdServer server;
    private final EventLoop loop;
    private final int socket;
    private final ServerHandshake handshake;
    private final IoBuffer buffer = IoBuffer.allocate(2 * BUFFER_BYTES);
    private final ByteBuffer input;
    private ServerHandshake.Outcome outcome = ServerHandshake.Outcome.CONTINUE;
    private Doing doing = Doing.SENDING;
    private byte[] output = new byte[0];
    private int outputSent;
    private boolean aborted;
    private boolean over;
    private EventLoop.Timer deadline = () -> {};

    Greeting(NbdServer server, EventLoop loop, int socket) {
        this.server = server;
        this.loop = loop;
        this.socket = socket;
        this.handshake = new ServerHandshake(server);
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
            Sockets.shutdown(socket);
        }
    }

    @Override
    protected void completed(int result) {
        if (result <= 0 || aborted) {
            close();
            return;
        }
        if (doing == Doing.SENDING) {
            outputSent += result;
        } else {
            input.limit(input.limit() + result);
        }
        proceed();
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
        loop.send(socket, buffer.address() + BUFFER_BYTES, length, this);
    }

    private void receive() {
        input.compact();
        input.flip();
        doing = Doing.RECEIVING;
        int at = input.limit();
        loop.receive(socket, buffer.address() + at, BUFFER_BYTES - at, this);
    }

    private void move() {
        over = true;
        deadline.cancel();
        byte[] early = new byte[input.remaining()];
        input.get(early);
        server.greeted(this, socket, handshake.terms(), early);
    }

    private void close() {
        over = true;
        deadline.cancel();
        Linux.close(socket);
        server.turnedAway(this);
    }
}
