package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.tls.ClientTls;
import dev.ferry.nbd.transport.TlsTransport;
import dev.ferry.nbd.transport.Transport;
import dev.ferry.nbd.wire.ClientHandshake;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Sockets;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import javax.net.ssl.SSLEngine;
import org.jspecify.annotations.Nullable;

/** Connects and drives the client's handshake on a loop, for a caller who waits. */
final class Negotiation extends IoOperation {
    /**
     * How a handshake ended well.
     *
     * @param transport the connection, for {@link ClientHandshake.Purpose#USE}; else null, and it is closed
     * @param early bytes that came behind the handshake
     */
    @SuppressWarnings("ArrayRecordComponent") // handed over once, and never compared
    record Result(ClientHandshake handshake, @Nullable Transport transport, byte[] early) {
        Transport usable() {
            return Objects.requireNonNull(transport);
        }

        /** Gives the connection up. */
        void close() {
            Transport unused = transport;
            if (unused != null) {
                unused.close();
            }
        }
    }

    private final EventLoop loop;
    private final NbdUri uri;
    private final @Nullable ClientTls tls;
    private final ClientHandshake handshake;
    private final CompletableFuture<Result> future = new CompletableFuture<>();
    private final IoBuffer inputMemory = IoBuffer.allocate(ClientHandshake.inputBytes());
    private final IoBuffer outputMemory = IoBuffer.allocate(16 << 10);
    private final ByteBuffer input = inputMemory.segment().asByteBuffer().limit(0);
    private ClientHandshake.Outcome outcome = ClientHandshake.Outcome.CONTINUE;
    private byte[] output = new byte[0];
    private int outputSent;
    private Transport transport;
    private @Nullable TlsTransport securing;
    private boolean sending;
    private boolean late;
    private boolean over;
    private EventLoop.Timer deadline = () -> {};

    private Negotiation(
            EventLoop loop,
            NbdUri uri,
            Transport transport,
            ClientHandshake.Purpose purpose,
            ClientSettings settings,
            @Nullable ClientTls tls) {
        this.loop = loop;
        this.uri = uri;
        this.transport = transport;
        this.tls = tls;
        this.handshake = new ClientHandshake(purpose, uri.exportName(), settings.contexts(), tls != null);
    }

    /** Connects for {@link ClientHandshake.Purpose#USE}. */
    static Result use(EventLoop loop, NbdUri uri, ClientSettings settings) throws BlockException {
        return run(loop, uri, settings, ClientHandshake.Purpose.USE);
    }

    static Result run(EventLoop loop, NbdUri uri, ClientSettings settings, ClientHandshake.Purpose purpose)
            throws BlockException {
        Invariant.that(!loop.inLoop(), "a loop must not wait for a handshake");
        ClientTls tls = tlsOf(uri, settings);
        Transport plain = Transport.plain(loop, connect(uri));
        Negotiation negotiation = new Negotiation(loop, uri, plain, purpose, settings, tls);
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
            plain.close();
            throw error(uri, ErrorKind.CLOSED, "the event loop is closed").toException();
        }
    }

    private static @Nullable ClientTls tlsOf(NbdUri uri, ClientSettings settings) throws BlockException {
        NbdUri.Tls wanted = uri.tls();
        if (wanted == null) {
            return null;
        }
        NbdUri.Psk psk = wanted.psk();
        if (psk != null) {
            try {
                return ClientTls.ofKey(psk.file(), psk.name());
            } catch (IOException unusable) {
                throw error(uri, ErrorKind.INVALID, String.valueOf(unusable.getMessage()))
                        .toException();
            }
        }
        Path named = wanted.certificates();
        String host = wanted.hostName();
        if (host == null && uri instanceof NbdUri.Tcp tcp) {
            host = tcp.host();
        }
        try {
            return ClientTls.of(named == null ? settings.tlsCertificates() : named, host, wanted.verifyPeer());
        } catch (IOException unusable) {
            throw error(uri, ErrorKind.INVALID, String.valueOf(unusable.getMessage()))
                    .toException();
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
            transport.shutdown();
        }
    }

    @Override
    protected void completed(int result) {
        TlsTransport handshaking = securing;
        if (late) {
            fail(ErrorKind.TIMED_OUT, "the server takes too long over the handshake");
        } else if (handshaking != null) {
            secured(handshaking, result);
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
                case START_TLS -> {
                    secure();
                    return;
                }
                case TRANSMISSION -> {
                    succeed(transport);
                    return;
                }
                case DONE -> {
                    transport.close();
                    succeed(null);
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

    private void secure() {
        int port = uri instanceof NbdUri.Tcp tcp ? tcp.port() : NbdUri.DEFAULT_PORT;
        SSLEngine engine = Objects.requireNonNull(tls).engine(port);
        TlsTransport secure = new TlsTransport(loop, transport.socket(), engine, input);
        input.limit(input.position());
        transport = secure;
        securing = secure;
        secure.handshake(this);
    }

    private void secured(TlsTransport handshaking, int result) {
        if (result <= 0) {
            fail(ErrorKind.ACCESS, "TLS failed: " + ClientHandshake.printable(handshaking.failure()));
            return;
        }
        securing = null;
        outcome = handshake.secured();
        proceed();
    }

    private void send() {
        sending = true;
        int length = Math.min(outputMemory.capacity(), output.length - outputSent);
        outputMemory.copyFrom(output, outputSent, 0, length);
        transport.send(outputMemory.address(), length, this);
    }

    private void receive() {
        sending = false;
        input.compact();
        input.flip();
        int at = input.limit();
        transport.receive(inputMemory.address() + at, inputMemory.capacity() - at, this);
    }

    private void succeed(@Nullable Transport usable) {
        over = true;
        deadline.cancel();
        byte[] early = new byte[input.remaining()];
        input.get(early);
        future.complete(new Result(handshake, usable, early));
    }

    private void fail(ErrorKind kind, String why) {
        over = true;
        deadline.cancel();
        transport.close();
        future.completeExceptionally(error(uri, kind, why).toException());
    }
}
