package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.transport.Outbox;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.SessionTerms;
import dev.ferry.nbd.wire.TransmissionLayout;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A connection to a server in the transmission phase: requests go out in batches, replies come in and are matched. Lives
 * on one loop; allocates nothing for a request once its tables have grown.
 *
 * <p>Requests that are submitted in one turn of the loop leave together at its end. When the link breaks, requests fail
 * only after the kernel has let go of their memory.
 */
final class ClientLink implements Outbox.Listener {
    private static final System.Logger LOG = System.getLogger(ClientLink.class.getName());
    private static final int INPUT_BYTES = 128 << 10;
    private static final int REQUESTS_A_BATCH = 256;
    private static final int REQUESTS_MAX = 1 << 20;

    /** How long a server may take to receive what was under way when the device was closed. */
    private static final long GOODBYE_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final EventLoop loop;
    private final String name;
    private final int socket;
    private final Outbox outbox;
    private final ReplyReader reader;
    private final IoBuffer input = IoBuffer.allocate(INPUT_BYTES);
    private final IoBuffer outputMemory;
    private final Receiving receiving = new Receiving();
    private final Direct direct = new Direct();
    private final Runnable turnLater = this::turnAfterCommands;

    private ClientRequest[] table = new ClientRequest[0];
    private int tableSize;
    private @Nullable ClientRequest free;
    private @Nullable ClientRequest waitingHead;
    private @Nullable ClientRequest waitingTail;
    private @Nullable ClientRequest early;
    private long sequence;
    private long batchesSent;
    private boolean running;
    private boolean again;
    private boolean turnScheduled;
    private @Nullable BlockError broken;
    private @Nullable Completion closing;
    private boolean disconnectSent;
    private EventLoop.Timer goodbye = () -> {};
    private boolean closed;

    ClientLink(EventLoop loop, String name, int socket, SessionTerms terms) {
        this.loop = loop;
        this.name = name;
        this.socket = socket;
        // The last place is for the request to disconnect, which must find room whenever the device is closed.
        int smallBytes = (REQUESTS_A_BATCH + 1) * TransmissionLayout.REQUEST_BYTES;
        int vectors = 2 * REQUESTS_A_BATCH + 1;
        this.outputMemory = IoBuffer.allocate(Outbox.memoryBytes(smallBytes, vectors));
        this.outbox = new Outbox(loop, socket, outputMemory.segment(), smallBytes, vectors, this);
        this.reader = new ReplyReader(this, input, terms);
    }

    void start(byte[] earlyBytes) {
        MemorySegment.copy(earlyBytes, 0, input.segment(), ValueLayout.JAVA_BYTE, 0, earlyBytes.length);
        reader.received(earlyBytes.length);
        turn();
    }

    // ---- requests

    ClientRequest request(int type, int flags, long offset, int length, Completion completion) {
        ClientRequest request = free;
        if (request == null) {
            request = grow();
        } else {
            free = request.next;
        }
        request.next = null;
        request.type = type;
        request.flags = flags;
        request.offset = offset;
        request.length = length;
        request.restBytes = 0;
        request.completion = completion;
        request.error = null;
        return request;
    }

    private ClientRequest grow() {
        Invariant.that(tableSize < REQUESTS_MAX, "more requests in flight than a client can number");
        if (tableSize == table.length) {
            table = Arrays.copyOf(table, Math.max(64, tableSize * 2));
        }
        ClientRequest request = new ClientRequest(tableSize);
        table[tableSize++] = request;
        return request;
    }

    void submit(ClientRequest request) {
        BlockError error = broken;
        if (error != null || closing != null) {
            end(request, error != null ? errorOf(request, error.kind(), error.detail()) : closedError(request));
            return;
        }
        if (waitingHead != null || !put(request)) {
            request.next = null;
            if (waitingTail == null) {
                waitingHead = request;
            } else {
                waitingTail.next = request;
            }
            waitingTail = request;
        }
        resume();
    }

    /** Puts a request into the outbox; false if it has no room now. */
    private boolean put(ClientRequest request) {
        if (!outbox.hasRoom(2 * TransmissionLayout.REQUEST_BYTES, 3)) {
            return false;
        }
        request.cookie = ++sequence << 20 | request.index;
        request.inFlight = true;
        request.batch = outbox.sending() ? batchesSent + 1 : batchesSent;
        request.statusSeen = false;
        request.coverage.clear();
        long at = outbox.take(TransmissionLayout.REQUEST_BYTES);
        TransmissionLayout.putRequest(
                outbox.memory(), at, request.flags, request.type, request.cookie, request.offset, request.length);
        if (request.type == Nbd.CMD_WRITE) {
            outbox.append(request.buffer().address() + request.at, request.length);
        }
        return true;
    }

    /** The request in flight that a server means, or null if there is none. */
    @Nullable
    ClientRequest find(long cookie) {
        long index = cookie & (REQUESTS_MAX - 1);
        if (index >= tableSize) {
            return null;
        }
        ClientRequest request = table[(int) index];
        return request.inFlight && request.cookie == cookie ? request : null;
    }

    /** The server has answered. */
    void answered(ClientRequest request, @Nullable BlockError error) {
        request.inFlight = false;
        request.error = error;
        if (request.batch >= batchesSent && request.type == Nbd.CMD_WRITE) {
            // Its data may still be on its way: the caller must not have it back before it has left.
            request.next = early;
            early = request;
            return;
        }
        conclude(request);
    }

    private void conclude(ClientRequest request) {
        BlockError error = request.error;
        if (error == null && request.restBytes > 0) {
            request.offset += request.length;
            int piece = (int) Math.min(request.restBytes, request.length);
            request.restBytes -= piece;
            request.length = piece;
            submit(request);
            return;
        }
        end(request, error);
    }

    private void end(ClientRequest request, @Nullable BlockError error) {
        Completion completion = java.util.Objects.requireNonNull(request.completion);
        request.completion = null;
        request.buffer = null;
        request.sink = null;
        request.inFlight = false;
        request.next = free;
        free = request;
        completion.complete(error);
    }

    BlockError errorOf(ClientRequest request, ErrorKind kind, String detail) {
        boolean ranged = request.type != Nbd.CMD_FLUSH;
        return BlockError.of(
                kind, name, request.operation(), ranged ? request.offset : -1, ranged ? request.length : -1, detail);
    }

    private BlockError closedError(ClientRequest request) {
        return errorOf(request, ErrorKind.CLOSED, "the device is closed");
    }

    // ---- the turn

    /** Has what was submitted sent at the end of this turn of the loop. */
    private void resume() {
        if (running) {
            again = true;
        } else if (!turnScheduled) {
            turnScheduled = true;
            loop.execute(turnLater);
        }
    }

    private void turnAfterCommands() {
        turnScheduled = false;
        turn();
    }

    private void turn() {
        if (running) {
            again = true;
            return;
        }
        running = true;
        try {
            do {
                again = false;
                if (broken == null && !direct.inFlight()) {
                    reader.parse();
                }
                sendWaiting();
            } while (again);
        } catch (RuntimeException | AssertionError defect) {
            LOG.log(System.Logger.Level.ERROR, "the connection to " + name + " failed", defect);
            breakOff("a defect: " + defect);
        } finally {
            running = false;
        }
        if (broken == null) {
            outbox.flush();
            receive();
        }
        finish();
    }

    private void sendWaiting() {
        // What still waits when the device is closed is not sent: nothing may follow the request to disconnect.
        while (broken == null && closing == null && waitingHead != null) {
            ClientRequest request = java.util.Objects.requireNonNull(waitingHead);
            ClientRequest following = request.next;
            if (!put(request)) {
                return;
            }
            request.next = null;
            waitingHead = following;
            if (following == null) {
                waitingTail = null;
            }
        }
    }

    private void receive() {
        if (receiving.inFlight() || direct.inFlight()) {
            return;
        }
        if (reader.wantsDirect()) {
            direct.begin();
            return;
        }
        loop.receive(socket, input.address() + reader.roomAt(), reader.room(), receiving);
    }

    private final class Receiving extends IoOperation {
        @Override
        protected void completed(int result) {
            if (result > 0) {
                reader.received(result);
            } else {
                lost(result);
            }
            turn();
        }
    }

    /** Much of a read's data at once, into where it belongs. */
    private final class Direct extends IoOperation {
        private int expected;

        void begin() {
            expected = reader.directBytes();
            loop.receiveFully(socket, reader.directAddress(), expected, this);
        }

        @Override
        protected void completed(int result) {
            if (result == expected) {
                reader.receivedDirectly();
            } else {
                lost(Math.min(result, 0));
            }
            turn();
        }
    }

    private void lost(int result) {
        breakOff(result == 0 ? "the server closed the connection" : Errno.text(result));
    }

    @Override
    public void batchSent(int batch) {
        batchesSent++;
        ClientRequest request = early;
        early = null;
        while (request != null) {
            ClientRequest following = request.next;
            request.next = null;
            conclude(request);
            request = following;
        }
        turn();
    }

    @Override
    public void sendFailed(int error) {
        breakOff(Errno.text(error));
        turn();
    }

    // ---- the end

    /** The link is of no use any more; why is what all requests are told. */
    void breakOff(String why) {
        breakOff(ErrorKind.UNAVAILABLE, why);
    }

    private void breakOff(ErrorKind kind, String why) {
        if (broken == null) {
            broken = BlockError.of(kind, name, "connection", why);
            if (!closed) {
                Sockets.shutdown(socket);
            }
        }
    }

    void close(Completion completion) {
        Invariant.that(closing == null, "a device is closed once");
        closing = completion;
        goodbye = loop.schedule(GOODBYE_NANOS, this::goodbyeOver);
        resume();
    }

    private void goodbyeOver() {
        breakOff(ErrorKind.CLOSED, "the device is closed");
        turn();
    }

    /** Brings to an end what has to end, once the kernel has nothing of ours in its hands. */
    private void finish() {
        if (closing != null && broken == null) {
            if (!disconnectSent) {
                disconnectSent = true;
                long at = outbox.take(TransmissionLayout.REQUEST_BYTES);
                TransmissionLayout.putRequest(outbox.memory(), at, 0, Nbd.CMD_DISC, 0, 0, 0);
                outbox.flush();
                return;
            }
            if (outbox.sending() || !outbox.isEmpty()) {
                return;
            }
            breakOff(ErrorKind.CLOSED, "the device is closed");
        }
        BlockError why = broken;
        if (why == null || outbox.sending() || receiving.inFlight() || direct.inFlight()) {
            return;
        }
        if (!closed) {
            closed = true;
            Linux.close(socket);
        }
        failAll(why);
        Completion whenClosed = closing;
        if (whenClosed != null) {
            closing = null;
            goodbye.cancel();
            whenClosed.complete(null);
        }
    }

    private void failAll(BlockError why) {
        waitingHead = null;
        waitingTail = null;
        early = null;
        for (int i = 0; i < tableSize; i++) {
            ClientRequest request = table[i];
            if (request.completion != null) {
                end(request, errorOf(request, why.kind(), why.detail()));
            }
        }
    }
}
