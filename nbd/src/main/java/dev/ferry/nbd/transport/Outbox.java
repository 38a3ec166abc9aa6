package dev.ferry.nbd.transport;

import dev.ferry.reactor.Errno;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
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
 * <p>Small messages are written into the batch; long ones stay where they are until they have been sent, and what lies in a
 * file goes from there to the socket by the kernel alone ({@link #appendFile}, sendfile(2)). Belongs to the
 * loop's thread; allocates nothing after construction. Neither callback comes from within a call to this class.
 */
public final class Outbox {
    /** Who is told of what became of batches. */
    public interface Listener {
        /** All of a batch has been taken by the socket; what it named may be used again. */
        void batchSent(int batch);

        /** The socket takes nothing any more. */
        void sendFailed(int error);

        /**
         * A file that was to be sent from has come to an end too soon (0), or cannot be read (an errno below zero). Part of a
         * message may have left, so that nothing more will.
         */
        default void fileFailed(int error) {
            sendFailed(error == 0 ? -Errno.EIO : error);
        }
    }

    private static final int VECTOR_BYTES = 16;
    /** Instead of an address: the piece lies in a file. */
    private static final long IN_FILE = 0;

    private final Transport transport;
    private final Listener listener;
    private final MemorySegment memory;
    private final int smallBytesMax;
    private final int vectorsMax;
    private final Batch[] batches;
    private final Sending operation = new Sending();
    private final Writable writable = new Writable();
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

    /**
     * Puts bytes of a file at the end of the batch, after something else in it. Only where {@link Transport#sendsFiles}; the
     * file must stay open, and as it is, until the batch has been sent.
     */
    public void appendFile(int descriptor, long position, int length) {
        Batch batch = batches[filling];
        int vector = batch.vectors++;
        batch.inFile(vector, descriptor, position);
        long at = batch.vectorAt(vector);
        memory.set(ValueLayout.JAVA_LONG, at, IN_FILE);
        memory.set(ValueLayout.JAVA_LONG, at + 8, length);
        batch.end = 0;
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
        int count = batch.inMemory(nextVector);
        if (count == 0) {
            transport.loop().awaitWritable(transport.socket(), writable);
        } else if (count == 1) {
            long address = memory.get(ValueLayout.JAVA_LONG, vector);
            transport.send(address, (int) memory.get(ValueLayout.JAVA_LONG, vector + 8), operation);
        } else {
            transport.sendVectors(memory.address() + vector, count, operation);
        }
    }

    /** Has the kernel send what the socket takes now of the piece that lies in a file. */
    private void sendFile() {
        Batch batch = batches[1 - filling];
        int piece = nextVector;
        long vector = batch.vectorAt(piece);
        long length = memory.get(ValueLayout.JAVA_LONG, vector + 8);
        long left = length;
        while (left > 0) {
            long result = Linux.sendfile(transport.socket(), batch.descriptors[piece], batch.positions[piece], left);
            if (result == -Errno.EAGAIN) {
                memory.set(ValueLayout.JAVA_LONG, vector + 8, left);
                submit();
                return;
            }
            if (result <= 0 && result != -Errno.EINTR) {
                cannotSendFile((int) result);
                return;
            }
            batch.positions[piece] += Math.max(0, result);
            left -= Math.max(0, result);
        }
        sent((int) length);
    }

    private void cannotSendFile(int error) {
        failed = true;
        sending = false;
        if (error == -Errno.EPIPE || error == -Errno.ECONNRESET) {
            listener.sendFailed(error);
        } else {
            listener.fileFailed(error);
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
            if (batch.inMemory(nextVector) == 0) {
                sendFile();
            } else {
                submit();
            }
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
                long address = memory.get(ValueLayout.JAVA_LONG, vector);
                if (address != IN_FILE) {
                    memory.set(ValueLayout.JAVA_LONG, vector, address + rest);
                }
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

    private final class Writable extends IoOperation {
        @Override
        protected void completed(int result) {
            sendFile();
        }
    }

    private final class Batch {
        private int[] descriptors = {};
        private long[] positions = {};
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

        /** Notes where a piece lies; the first one of a connection makes the room for all. */
        void inFile(int vector, int descriptor, long position) {
            if (descriptors.length == 0) {
                descriptors = new int[vectorsMax];
                positions = new long[vectorsMax];
            }
            descriptors[vector] = descriptor;
            positions[vector] = position;
        }

        /** How many pieces from one on lie in memory. */
        int inMemory(int from) {
            if (descriptors.length == 0) {
                return vectors - from;
            }
            int to = from;
            while (to < vectors && memory.get(ValueLayout.JAVA_LONG, vectorAt(to)) != IN_FILE) {
                to++;
            }
            return to - from;
        }

        void clear() {
            smallUsed = 0;
            vectors = 0;
            end = 0;
        }
    }
}
