package dev.ferry.nbd.server;

import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.transport.Outbox;
import dev.ferry.nbd.transport.Transport;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;

/** The native memory of one connection in transmission; kept for the next one when it closes. */
final class ConnectionMemory {
    private static final int INPUT_BYTES = 64 << 10;

    /** What a batch of replies has beyond the one small message of each: for texts, and for replies in many chunks. */
    private static final int SPARE_BYTES = 4096;

    private static final int SPARE_VECTORS = 64;

    private final Store store;
    private final IoBuffer input = IoBuffer.allocate(INPUT_BYTES);
    private final IoBuffer header = IoBuffer.allocate(64);
    private final IoBuffer output;

    private ConnectionMemory(Store store) {
        this.store = store;
        this.output = IoBuffer.allocate(Outbox.memoryBytes(store.smallBytes(), store.vectors()));
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
        private static final int KEPT_MAX = 64;

        private final ConcurrentLinkedQueue<ConnectionMemory> kept = new ConcurrentLinkedQueue<>();
        private final AtomicInteger keptCount = new AtomicInteger();
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

        ConnectionMemory take() {
            ConnectionMemory memory = kept.poll();
            if (memory == null) {
                return new ConnectionMemory(this);
            }
            keptCount.decrementAndGet();
            return memory;
        }

        private void put(ConnectionMemory memory) {
            if (keptCount.get() < KEPT_MAX) {
                keptCount.incrementAndGet();
                kept.add(memory);
            }
        }
    }
}
