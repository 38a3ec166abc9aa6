package dev.ferry.nbd.transport;

import dev.ferry.block.IoBuffer;
import dev.ferry.reactor.Linux;
import java.util.concurrent.ConcurrentLinkedQueue;

/**
 * Native memory for connections, in pieces of one size. A piece that is given back is used again and never freed, so that
 * connections that come and go cost no garbage collection, and there are as many pieces as there ever were connections at
 * once. Pages that nobody has touched take up no memory. Any thread.
 */
public final class PieceStore {
    private final ConcurrentLinkedQueue<IoBuffer> free = new ConcurrentLinkedQueue<>();
    private final int bytes;

    public PieceStore(int bytes) {
        this.bytes = bytes;
    }

    /**
     * A piece with any content.
     *
     * @throws OutOfMemoryError if the kernel has none
     */
    public IoBuffer take() {
        IoBuffer piece = free.poll();
        return piece == null ? IoBuffer.of(Linux.pages(), bytes) : piece;
    }

    /** Gives a piece back; nothing may be using it. */
    public void release(IoBuffer piece) {
        free.add(piece);
    }
}
