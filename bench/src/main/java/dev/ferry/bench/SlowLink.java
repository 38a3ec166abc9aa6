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
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * A link that is long and narrow, in front of a TCP server: whatever is sent through it arrives late by half of the round
 * trip, and each way only so many bytes pass in a second, of all connections together.
 *
 * <pre>
 *   client ── reader ─▶ line: when is it free? ─▶ on its way, half of the round trip ─▶ writer ── server
 * </pre>
 *
 * <p>What waits for the line is bounded by {@link #QUEUE_NANOS} of it, as in a router; a sender who is faster is held. There is
 * a TCP connection on each side of it, whose windows do not see the delay: how the kernels would have opened theirs over a
 * real link is not measured. Threads: two for each direction of a connection.
 */
final class SlowLink implements AutoCloseable {
    private static final int CHUNK_BYTES = 32 << 10;
    private static final long QUEUE_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    /** Messages of a handshake are shorter. */
    private static final int DATA_BYTES_MIN = 1024;

    private final InetSocketAddress server;
    private final ServerSocketChannel listener;
    private final Direction toServer;
    private final Direction toClient;
    private final List<SocketChannel> channels = new ArrayList<>();

    /**
     * @param port where the server listens on the loopback address
     * @param bytesPerSecond each way
     */
    SlowLink(int port, long bytesPerSecond, long roundTripNanos) {
        server = new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
        toServer = new Direction(bytesPerSecond, roundTripNanos / 2);
        toClient = new Direction(bytesPerSecond, roundTripNanos / 2);
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

    Direction toServer() {
        return toServer;
    }

    Direction toClient() {
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

    private static void carry(SocketChannel from, SocketChannel to, Direction direction) {
        // What is on its way and what waits for the line, in the shortest pieces that matter.
        BlockingQueue<Piece> way = new ArrayBlockingQueue<>(1 << 16);
        Thread.ofPlatform().name("link-reader").daemon().start(() -> read(from, way, direction));
        Thread.ofPlatform().name("link-writer").daemon().start(() -> write(to, way));
    }

    /** Bytes on their way; none of them: the end. */
    private record Piece(ByteBuffer bytes, long arrivalNanos) {}

    private static void read(SocketChannel from, BlockingQueue<Piece> way, Direction direction) {
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
                waitUntil(piece.arrivalNanos());
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

    private static void waitUntil(long instantNanos) {
        for (long left = instantNanos - System.nanoTime(); left > 0; left = instantNanos - System.nanoTime()) {
            LockSupport.parkNanos(left);
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

    /** One way of the link. Any thread. */
    static final class Direction {
        private final long bytesPerSecond;
        private final long delayNanos;
        private long freeNanos = System.nanoTime();
        private long carriedBytes;
        private long firstNanos;
        private long lastNanos;

        private Direction(long bytesPerSecond, long delayNanos) {
            this.bytesPerSecond = bytesPerSecond;
            this.delayNanos = delayNanos;
        }

        /** Has bytes wait for the line and take it; gives the instant at which they arrive. */
        private long pass(int bytes) {
            long sentNanos = take(bytes);
            waitUntil(sentNanos - QUEUE_NANOS);
            return sentNanos + delayNanos;
        }

        /** The instant at which the line has taken them. */
        private synchronized long take(int bytes) {
            long now = System.nanoTime();
            long begins = Math.max(now, freeNanos);
            freeNanos = begins + bytes * 1_000_000_000L / bytesPerSecond;
            if (bytes >= DATA_BYTES_MIN) {
                if (carriedBytes == 0) {
                    firstNanos = begins;
                }
                carriedBytes += bytes;
                lastNanos = freeNanos;
            }
            return freeNanos;
        }

        /** Forgets what it has carried. */
        synchronized void mark() {
            carriedBytes = 0;
        }

        /** What it has carried since the mark, from the first byte of data to the last, as a share of what it could have. */
        synchronized double share() {
            return carriedBytes == 0 ? 0 : carriedBytes * 1e9 / (lastNanos - firstNanos) / bytesPerSecond;
        }
    }
}
