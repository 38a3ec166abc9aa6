package dev.ferry.nbd.server;

import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.transport.Outbox;
import dev.ferry.nbd.transport.Transport;
import dev.ferry.reactor.Linux;
import java.util.concurrent.ConcurrentLinkedQueue;

/**
 * The native memory of one connection in transmission; kept for the next one when it closes, and never freed: there is as
 * much of it as there ever were connections at once, and of that only what was touched.
 */
final class ConnectionMemory {
    private static final int INPUT_BYTES = 64 << 10;

    /** What a batch of replies has beyond the one small message of each: for texts, and for replies in many chunks. */
    private static final int SPARE_BYTES = 4096;

    private static final int SPARE_VECTORS = 64;

    private final Store store;
    private final IoBuffer input = IoBuffer.of(Linux.pages(), INPUT_BYTES);
    private final IoBuffer header = IoBuffer.of(Linux.pages(), FileReplies.SCRATCH_BYTES);
    private final IoBuffer output;

    private ConnectionMemory(Store store) {
        this.store = store;
        this.output = IoBuffer.of(Linux.pages(), Outbox.memoryBytes(store.smallBytes(), store.vectors()));
    }

    IoBuffer input() {
        return input;
    }

    IoBuffer header() {
        return header;
    }

    Outbox outbox(Transport transport, Outbox.Listener listener) {
        return new Outbox(transport, output.segment(), store.smallBytes(), store.vectors(), listener);
    }

    void release() {
        store.put(this);
    }

    /** Memory of connections that have closed. Any thread. */
    static final class Store {
        private final ConcurrentLinkedQueue<ConnectionMemory> kept = new ConcurrentLinkedQueue<>();
        private final int requestsMax;

        Store(int requestsMax) {
            this.requestsMax = requestsMax;
        }

        private int smallBytes() {
            return requestsMax * ReplyWriter.SMALL_REPLY_BYTES + SPARE_BYTES;
        }

        private int vectors() {
            return 2 * requestsMax + SPARE_VECTORS;
        }

        /** @throws OutOfMemoryError if the kernel has none */
        ConnectionMemory take() {
            ConnectionMemory memory = kept.poll();
            return memory == null ? new ConnectionMemory(this) : memory;
        }

        private void put(ConnectionMemory memory) {
            kept.add(memory);
        }
    }
}
