package dev.ferry.nbd.transport;

import dev.ferry.reactor.Errno;
import dev.ferry.reactor.IoOperation;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Messages on their way to a socket. While one batch of them is being sent, the next one gathers, so that however many
 * messages there are, they leave in few system calls, and in the order in which they were put here.
 *
 * <pre>
 *   batch:  small messages, one after the other │ vectors: [small … small] [data] [small] [data] …
 * </pre>
 *
 * <p>Small messages are written into the batch; long ones stay where they are until they have been sent. Belongs to the
 * loop's thread; allocates nothing after construction. Neither callback comes from within a call to this class.
 */
public final class Outbox {
    /** Who is told of what became of batches. */
    public interface Listener {
        /** All of a batch has been taken by the socket; what it named may be used again. */
        void batchSent(int batch);

        /** The socket takes nothing any more. */
        void sendFailed(int error);
    }

    private static final int VECTOR_BYTES = 16;

    private final Transport transport;
    private final Listener listener;
    private final MemorySegment memory;
    private final int smallBytesMax;
    private final int vectorsMax;
    private final Batch[] batches;
    private final Sending operation = new Sending();
    private int filling;
    private boolean sending;
    private boolean failed;
    private int nextVector;

    /**
     * @param memory {@link #memoryBytes} bytes, aligned to 16, for as long as this outbox is used
     * @param smallBytesMax bytes of small messages in a batch
     * @param vectorsMax pieces in a batch, at most 1024
     */
    public Outbox(Transport transport, MemorySegment memory, int smallBytesMax, int vectorsMax, Listener listener) {
        this.transport = transport;
        this.listener = listener;
        this.memory = memory;
        this.smallBytesMax = smallBytesMax;
        this.vectorsMax = vectorsMax;
        int batchBytes = memoryBytes(smallBytesMax, vectorsMax) / 2;
        batches = new Batch[] {new Batch(0), new Batch(batchBytes)};
    }

    public static int memoryBytes(int smallBytesMax, int vectorsMax) {
        return 2 * (((smallBytesMax + 15) & ~15) + vectorsMax * VECTOR_BYTES);
    }

    /** Where {@link #take} puts small messages. */
    public MemorySegment memory() {
        return memory;
    }

    /** True if the batch that gathers has room for so much more. */
    public boolean hasRoom(int smallBytes, int vectors) {
        Batch batch = batches[filling];
        return batch.smallUsed + smallBytes <= smallBytesMax && batch.vectors + vectors <= vectorsMax;
    }

    /** Bytes of small messages that the gathering batch still takes. */
    public int smallRoom() {
        return smallBytesMax - batches[filling].smallUsed;
    }

    /** Pieces that the gathering batch still takes. */
    public int vectorRoom() {
        return vectorsMax - batches[filling].vectors;
    }

    /** The batch that gathers now, 0 or 1. */
    public int filling() {
        return filling;
    }

    public boolean sending() {
        return sending;
    }

    /** True if nothing gathers. */
    public boolean isEmpty() {
        return batches[filling].vectors == 0;
    }

    /** Makes room for a small message at the end of the batch; gives its place in {@link #memory}. */
    public long take(int bytes) {
        Batch batch = batches[filling];
        long at = batch.smallFrom + batch.smallUsed;
        batch.smallUsed += bytes;
        append(memory.address() + at, bytes);
        return at;
    }

    /** Puts bytes that lie elsewhere at the end of the batch; they must stay there until it has been sent. */
    public void append(long address, int length) {
        Batch batch = batches[filling];
        if (batch.end == address && batch.vectors > 0) {
            long at = batch.vectorAt(batch.vectors - 1) + 8;
            memory.set(ValueLayout.JAVA_LONG, at, memory.get(ValueLayout.JAVA_LONG, at) + length);
        } else {
            long at = batch.vectorAt(batch.vectors++);
            memory.set(ValueLayout.JAVA_LONG, at, address);
            memory.set(ValueLayout.JAVA_LONG, at + 8, length);
        }
        batch.end = address + length;
    }

    /** Sends what has gathered, unless a batch is under way: then it follows that one. */
    public void flush() {
        if (sending || failed || isEmpty()) {
            return;
        }
        sending = true;
        filling = 1 - filling;
        nextVector = 0;
        submit();
    }

    private void submit() {
        Batch batch = batches[1 - filling];
        long vector = batch.vectorAt(nextVector);
        if (nextVector == batch.vectors - 1) {
            long address = memory.get(ValueLayout.JAVA_LONG, vector);
            transport.send(address, (int) memory.get(ValueLayout.JAVA_LONG, vector + 8), operation);
        } else {
            transport.sendVectors(memory.address() + vector, batch.vectors - nextVector, operation);
        }
    }

    private void sent(int result) {
        if (result <= 0) {
            failed = true;
            sending = false;
            listener.sendFailed(result == 0 ? -Errno.EPIPE : result);
            return;
        }
        Batch batch = batches[1 - filling];
        if (!advance(batch, result)) {
            submit();
            return;
        }
        sending = false;
        batch.clear();
        listener.batchSent(1 - filling);
    }

    /** Strikes off what has been sent; true if that was all. */
    private boolean advance(Batch batch, int bytes) {
        long rest = bytes;
        while (rest > 0) {
            long vector = batch.vectorAt(nextVector);
            long length = memory.get(ValueLayout.JAVA_LONG, vector + 8);
            if (rest < length) {
                memory.set(ValueLayout.JAVA_LONG, vector, memory.get(ValueLayout.JAVA_LONG, vector) + rest);
                memory.set(ValueLayout.JAVA_LONG, vector + 8, length - rest);
                return false;
            }
            rest -= length;
            nextVector++;
        }
        return nextVector == batch.vectors;
    }

    private final class Sending extends IoOperation {
        @Override
        protected void completed(int result) {
            sent(result);
        }
    }

    private final class Batch {
        private final long smallFrom;
        private final long vectorsFrom;
        private int smallUsed;
        private int vectors;
        private long end;

        Batch(int from) {
            smallFrom = from;
            vectorsFrom = smallFrom + ((smallBytesMax + 15) & ~15);
        }

        long vectorAt(int index) {
            return vectorsFrom + (long) index * VECTOR_BYTES;
        }

        void clear() {
            smallUsed = 0;
            vectors = 0;
            end = 0;
        }
    }
}
