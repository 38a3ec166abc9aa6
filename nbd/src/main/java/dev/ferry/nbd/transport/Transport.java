package dev.ferry.nbd.transport;

import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;

/**
 * A connected socket as the layers above use it, whatever there is between them and the wire. Operations are those of
 * {@link EventLoop}, with the same promises. Belongs to one loop.
 */
public abstract class Transport {
    private final int socket;

    Transport(int socket) {
        this.socket = socket;
    }

    /** The socket itself, with nothing in between. */
    public static Transport plain(EventLoop loop, int socket) {
        return new PlainTransport(loop, socket);
    }

    public final int socket() {
        return socket;
    }

    public abstract EventLoop loop();

    /** As {@link EventLoop#receive}. */
    public abstract void receive(long address, int length, IoOperation operation);

    /** As {@link EventLoop#receiveFully}. */
    public abstract void receiveFully(long address, int length, IoOperation operation);

    /** As {@link EventLoop#send}. */
    public abstract void send(long address, int length, IoOperation operation);

    /** As {@link EventLoop#sendVectors}. */
    public abstract void sendVectors(long vectors, int count, IoOperation operation);

    /** Asks for a receive to end early. */
    public abstract void cancel(IoOperation operation);

    /** True if what is sent is what is on the wire, so that the kernel may send by itself. */
    public abstract boolean inTheClear();

    /** True if it pays here to have the kernel send from files: nothing is in between, and the peer is on this host. */
    public final boolean sendsFiles() {
        return inTheClear() && Sockets.isUnix(socket);
    }

    /** The same connection on another loop; nothing may be in flight, and this object is not used any more. */
    public abstract Transport moveTo(EventLoop other);

    /** Ends the conversation in both directions; what is in flight ends. */
    public final void shutdown() {
        Sockets.shutdown(socket);
    }

    /** Closes the socket; nothing may be in flight. */
    public void close() {
        Linux.close(socket);
    }
}
