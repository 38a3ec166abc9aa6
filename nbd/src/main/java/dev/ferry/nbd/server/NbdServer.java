package dev.ferry.nbd.server;

import dev.ferry.block.BlockException;
import dev.ferry.reactor.EventLoop;

/**
 * An NBD server: many exports behind any number of listening sockets. A connection greets on the loop of the listener
 * and, once it has named its export, moves to the export's loop.
 *
 * <p>Every method may be called from any thread. Specification: {@code doc/proto.md} of NetworkBlockDevice/nbd.
 */
@SuppressWarnings("DoNotCallSuggester")
public final class NbdServer {
    public NbdServer(ServerSettings settings) {}

    /**
     * Makes a disk known to clients.
     *
     * @throws BlockException with kind BUSY if the name is taken, INVALID if it is no name for an export
     */
    public void add(Export export) throws BlockException {
        throw new UnsupportedOperationException();
    }

    /**
     * Hides an export and sends its clients away: requests in flight end and are answered, then connections close.
     *
     * @param gone runs on the export's loop when nothing of this server uses the device any more
     * @return false if there is no such export; {@code gone} then never runs
     */
    public boolean remove(String name, Runnable gone) {
        throw new UnsupportedOperationException();
    }

    /** Accepts connections from a listening, non-blocking socket, which belongs to the server from now on. */
    public Listener listen(EventLoop loop, int socket) {
        throw new UnsupportedOperationException();
    }

    /** Connections of clients that use this export now. */
    public int connections(String name) {
        throw new UnsupportedOperationException();
    }

    /** Connections in all, those in the handshake included. */
    public int connections() {
        throw new UnsupportedOperationException();
    }

    /**
     * Stops: closes listeners and handshakes, and removes every export as {@link #remove} does.
     *
     * @param done runs when all is closed, on some loop or on the caller's thread
     */
    public void shutdown(Runnable done) {
        throw new UnsupportedOperationException();
    }

    /** A socket that a server accepts connections from. */
    public interface Listener {
        /** Stops accepting and closes the server's descriptor; connections go on. Any thread. */
        void close();
    }
}
