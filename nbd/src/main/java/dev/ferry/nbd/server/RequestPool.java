package dev.ferry.nbd.server;

import dev.ferry.block.BufferPool;
import dev.ferry.block.IoBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The requests of one connection, used again and again, and the memory that they hold of what the client may have. Belongs
 * to the connection's loop.
 */
final class RequestPool {
    /** How a request for memory ended. */
    enum Provision {
        DONE,
        /** The client has in flight what one client may have: one of its own requests has to end first. */
        CLIENT_HAS_ENOUGH,
        /** Others have all there is; nobody will tell when they do not. */
        NONE_LEFT
    }

    private final Connection connection;
    private final BufferPool buffers;
    private final long bytesInFlightMax;
    private @Nullable ServerRequest free;
    private long bytesInFlight;

    RequestPool(Connection connection, BufferPool buffers, long bytesInFlightMax) {
        this.connection = connection;
        this.buffers = buffers;
        this.bytesInFlightMax = bytesInFlightMax;
    }

    ServerRequest take() {
        ServerRequest request = free;
        if (request == null) {
            return new ServerRequest(connection);
        }
        free = request.next;
        request.next = null;
        return request;
    }

    /** Gives a request memory; one request alone may have more than the bound. */
    Provision provide(ServerRequest request, int bytes) {
        if (bytes == 0) {
            return Provision.DONE;
        }
        if (bytesInFlight > 0 && bytesInFlight + bytes > bytesInFlightMax) {
            return Provision.CLIENT_HAS_ENOUGH;
        }
        IoBuffer buffer = buffers.take(bytes);
        if (buffer == null) {
            return Provision.NONE_LEFT;
        }
        request.buffer = buffer;
        // What it takes from others counts, and buffers are larger than what was asked for.
        request.chargedBytes = buffer.capacity();
        bytesInFlight += buffer.capacity();
        return Provision.DONE;
    }

    void release(ServerRequest request) {
        bytesInFlight -= request.chargedBytes;
        request.chargedBytes = 0;
        request.releaseBuffer();
        request.next = free;
        free = request;
    }
}
