package dev.ferry.nbd;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Stands between a client and a server, and ends their conversation after so many bytes of one of them; or lets nothing pass
 * from then on, so that each takes the other for one that hangs. Remembers what has passed.
 */
final class CuttingProxy implements AutoCloseable {
    private final ServerSocketChannel listener;
    private final Path socket;
    private final Path server;
    private final boolean ofServer;
    private final long cut;
    private final boolean holds;
    private final AtomicLong passed = new AtomicLong();
    private final ByteArrayOutputStream heard = new ByteArrayOutputStream();

    /**
     * @param server its unix socket
     * @param ofServer it is the server's bytes that are counted
     * @param cut so many of them pass
     */
    CuttingProxy(Path folder, Path server, boolean ofServer, long cut) throws IOException {
        this(folder, server, ofServer, cut, false);
    }

    /** @param holds after the cut nothing of that side passes, and its connection stays until it or its peer leaves */
    CuttingProxy(Path folder, Path server, boolean ofServer, long cut, boolean holds) throws IOException {
        this.holds = holds;
        this.socket = folder.resolve("cut");
        this.server = server;
        this.ofServer = ofServer;
        this.cut = cut;
        this.listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        listener.bind(UnixDomainSocketAddress.of(socket));
        Thread.ofVirtual().start(this::serve);
    }

    Path socket() {
        return socket;
    }

    /** Bytes of the one that is counted, so far. */
    long passed() {
        return passed.get();
    }

    /** The bytes of the one that is counted, of all conversations. */
    byte[] heard() {
        synchronized (heard) {
            return heard.toByteArray();
        }
    }

    private void serve() {
        try {
            while (true) {
                SocketChannel client = listener.accept();
                SocketChannel upstream = SocketChannel.open(UnixDomainSocketAddress.of(server));
                Thread.ofVirtual().start(() -> pass(client, upstream, !ofServer));
                Thread.ofVirtual().start(() -> pass(upstream, client, ofServer));
            }
        } catch (IOException closed) {
            // The test is over.
        }
    }

    private void pass(SocketChannel from, SocketChannel to, boolean counted) {
        ByteBuffer buffer = ByteBuffer.allocate(16 << 10);
        try (from;
                to) {
            while (true) {
                if (counted) {
                    buffer.limit((int) Math.min(buffer.capacity(), cut - passed.get()));
                    if (!buffer.hasRemaining()) {
                        if (holds) {
                            swallow(from);
                        }
                        return;
                    }
                }
                int came = from.read(buffer);
                if (came < 0) {
                    return;
                }
                buffer.flip();
                while (buffer.hasRemaining()) {
                    to.write(buffer);
                }
                if (counted) {
                    passed.addAndGet(came);
                    synchronized (heard) {
                        heard.write(buffer.array(), 0, came);
                    }
                }
                buffer.clear();
            }
        } catch (IOException ended) {
            // One of the two has gone; so does the other.
        }
    }

    /** Until it has gone. */
    private static void swallow(SocketChannel from) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(16 << 10);
        while (from.read(buffer.clear()) >= 0) {
            // Nobody is told.
        }
    }

    @Override
    public void close() throws IOException {
        listener.close();
        Files.deleteIfExists(socket);
    }
}
