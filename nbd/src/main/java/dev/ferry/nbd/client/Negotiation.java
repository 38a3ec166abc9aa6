package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.wire.ClientHandshake;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;

/** Connects and drives the client's handshake on a loop, for a caller who waits. */
final class Negotiation extends IoOperation {
    /**
     * How a handshake ended well.
     *
     * @param socket connected, for {@link ClientHandshake.Purpose#USE}; else closed
     * @param early bytes that came behind the handshake
     */
    @SuppressWarnings("ArrayRecordComponent") // handed over once, and never compared
    record Result(ClientHandshake handshake, int socket, byte[] early) {}

    private final EventLoop loop;
    private final NbdUri uri;
    private final int socket;
    private final ClientHandshake handshake;
    private final CompletableFuture<Result> future = new CompletableFuture<>();
    private final IoBuffer inputMemory = IoBuffer.allocate(ClientHandshake.inputBytes());
    private final IoBuffer outputMemory = IoBuffer.allocate(16 << 10);
    private final ByteBuffer input = inputMemory.segment().asByteBuffer().limit(0);
    private ClientHandshake.Outcome outcome = ClientHandshake.Outcome.CONTINUE;
    private byte[] output = new byte[0];
    private int outputSent;
    private boolean sending;
    private boolean late;
    private boolean over;
    private EventLoop.Timer deadline = () -> {};

    private Negotiation(EventLoop loop, NbdUri uri, int socket, ClientHandshake.Purpose purpose) {
        this.loop = loop;
        this.uri = uri;
        this.socket = socket;
        this.handshake = new ClientHandshake(purpose, uri.exportName());
    }

    static Result run(EventLoop loop, NbdUri uri, ClientSettings settings, ClientHandshake.Purpose purpose)
            throws BlockException {
        Invariant.that(!loop.inLoop(), "a loop must not wait for a handshake");
        Negotiation negotiation = new Negotiation(loop, uri, connect(uri), purpose);
        try {
            loop.execute(() -> negotiation.begin(settings.openMax().toNanos()));
            return negotiation.future.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof BlockException refused) {
                throw refused.error().toException();
            }
            throw new IllegalStateException("the handshake failed", e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            loop.execute(negotiation::abort);
            throw error(uri, ErrorKind.CANCELLED, "interrupted").toException();
        } catch (RejectedExecutionException e) {
            Linux.close(negotiation.socket);
            throw error(uri, ErrorKind.CLOSED, "the event loop is closed").toException();
        }
    }

    private static int connect(NbdUri uri) throws BlockException {
        try {
            return switch (uri) {
                case NbdUri.Unix unix -> Sockets.connectUnix(unix.socket());
                case NbdUri.Tcp tcp -> Sockets.connectTcp(new InetSocketAddress(tcp.host(), tcp.port()));
            };
        } catch (IOException e) {
            throw error(uri, ErrorKind.UNAVAILABLE, String.valueOf(e.getMessage()))
                    .toException();
        }
    }

    private static BlockError error(NbdUri uri, ErrorKind kind, String detail) {
        return BlockError.of(kind, uri.toString(), "open", detail);
    }

    private void begin(long deadlineNanos) {
        deadline = loop.schedule(deadlineNanos, this::abort);
        receive();
    }

    private void abort() {
        late = true;
        if (!over) {
            Sockets.shutdown(socket);
        }
    }

    @Override
    protected void completed(int result) {
        if (late) {
            fail(ErrorKind.TIMED_OUT, "the server takes too long over the handshake");
        } else if (result == 0) {
            fail(ErrorKind.UNAVAILABLE, handshake.meaningOfEnd());
        } else if (result < 0) {
            boolean reset = result == -Errno.ECONNRESET || result == -Errno.EPIPE;
            fail(ErrorKind.UNAVAILABLE, reset ? handshake.meaningOfEnd() : Errno.text(result));
        } else {
            if (sending) {
                outputSent += result;
            } else {
                input.limit(input.limit() + result);
            }
            proceed();
        }
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
                    succeed(socket);
                    return;
                }
                case DONE -> {
                    Linux.close(socket);
                    succeed(-1);
                    return;
                }
                case FAILED -> {
                    fail(handshake.failureKind(), handshake.failure());
                    return;
                }
                case CONTINUE -> {}
            }
            outcome = handshake.step(input);
            if (outcome == ClientHandshake.Outcome.CONTINUE
                    && handshake.output().isEmpty()) {
                receive();
                return;
            }
        }
    }

    private void send() {
        sending = true;
        int length = Math.min(outputMemory.capacity(), output.length - outputSent);
        outputMemory.copyFrom(output, outputSent, 0, length);
        loop.send(socket, outputMemory.address(), length, this);
    }

    private void receive() {
        sending = false;
        input.compact();
        input.flip();
        int at = input.limit();
        loop.receive(socket, inputMemory.address() + at, inputMemory.capacity() - at, this);
    }

    private void succeed(int result) {
        over = true;
        deadline.cancel();
        byte[] early = new byte[input.remaining()];
        input.get(early);
        future.complete(new Result(handshake, result, early));
    }

    private void fail(ErrorKind kind, String why) {
        over = true;
        deadline.cancel();
        Linux.close(socket);
        future.completeExceptionally(error(uri, kind, why).toException());
    }
}
