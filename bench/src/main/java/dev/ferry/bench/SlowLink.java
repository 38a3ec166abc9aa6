package dev.ferry.bench;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;

/**
 * A link that is long and narrow, in front of a TCP server: whatever is sent through it arrives late by half of the round
 * trip, and each way only so many bytes pass in a second, of all connections together.
 *
 * <pre>
 *   client ── reader ─▶ line: when is it free? ─▶ on its way, half of the round trip ─▶ writer ── server
 * </pre>
 *
 * <p>A sender who is faster than the line is held. There is a TCP connection on each side of it, whose windows do not see the
 * delay: how the kernels would have opened theirs over a real link is not measured; {@link TunLink} does, where it is possible.
 * Threads: two for each direction of a connection.
 */
final class SlowLink implements Link {
    private static final int CHUNK_BYTES = 32 << 10;

    private final InetSocketAddress server;
    private final ServerSocketChannel listener;
    private final LinkDirection toServer;
    private final LinkDirection toClient;
    private final List<SocketChannel> channels = new ArrayList<>();

    /**
     * @param port where the server listens on the loopback address
     * @param bytesPerSecond each way
     */
    SlowLink(int port, long bytesPerSecond, long roundTripNanos) {
        server = new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
        toServer = new LinkDirection(bytesPerSecond, roundTripNanos / 2);
        toClient = new LinkDirection(bytesPerSecond, roundTripNanos / 2);
        try {
            listener = ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        } catch (IOException failed) {
            throw new BenchException("cannot make a link: " + failed.getMessage(), failed);
        }
        Thread.ofPlatform().name("link").daemon().start(this::accept);
    }

    /** Where clients connect to, on the loopback address. */
    int port() {
        return listener.socket().getLocalPort();
    }

    @Override
    public LinkDirection toServer() {
        return toServer;
    }

    @Override
    public LinkDirection toClient() {
        return toClient;
    }

    private void accept() {
        try {
            while (true) {
                SocketChannel client = opened(listener.accept());
                SocketChannel beyond = opened(SocketChannel.open(server));
                carry(client, beyond, toServer);
                carry(beyond, client, toClient);
            }
        } catch (IOException closed) {
            close();
        }
    }

    private synchronized SocketChannel opened(SocketChannel channel) throws IOException {
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
        channels.add(channel);
        return channel;
    }

    private static void carry(SocketChannel from, SocketChannel to, LinkDirection direction) {
        // What is on its way and what waits for the line, in the shortest pieces that matter.
        BlockingQueue<Piece> way = new ArrayBlockingQueue<>(1 << 16);
        Thread.ofPlatform().name("link-reader").daemon().start(() -> read(from, way, direction));
        Thread.ofPlatform().name("link-writer").daemon().start(() -> write(to, way));
    }

    /** Bytes on their way; none of them: the end. */
    private record Piece(ByteBuffer bytes, long arrivalNanos) {}

    private static void read(SocketChannel from, BlockingQueue<Piece> way, LinkDirection direction) {
        ByteBuffer received = ByteBuffer.allocateDirect(CHUNK_BYTES);
        try {
            while (true) {
                boolean end = from.read(received.clear()) < 0;
                byte[] bytes = new byte[received.flip().remaining()];
                received.get(bytes);
                way.put(new Piece(ByteBuffer.wrap(bytes), direction.pass(bytes.length)));
                if (end) {
                    return;
                }
            }
        } catch (IOException lost) {
            way.offer(new Piece(ByteBuffer.allocate(0), System.nanoTime()));
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static void write(SocketChannel to, BlockingQueue<Piece> way) {
        try {
            while (true) {
                Piece piece = way.take();
                LinkDirection.waitUntil(piece.arrivalNanos());
                if (!piece.bytes().hasRemaining()) {
                    to.shutdownOutput();
                    return;
                }
                while (piece.bytes().hasRemaining()) {
                    to.write(piece.bytes());
                }
            }
        } catch (IOException lost) {
            drain(way);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Whoever reads must not be held by a peer that has gone. */
    private static void drain(BlockingQueue<Piece> way) {
        try {
            while (way.take().bytes().hasRemaining()) {
                // Lost on its way.
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public synchronized void close() {
        try {
            listener.close();
            for (SocketChannel channel : channels) {
                channel.close();
            }
        } catch (IOException failed) {
            throw new BenchException("cannot close a link: " + failed.getMessage(), failed);
        }
    }
}
