package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.transport.Outbox;
import dev.ferry.nbd.transport.Transport;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.SessionTerms;
import dev.ferry.nbd.wire.TransmissionLayout;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A connection to a server in the transmission phase: requests go out in batches, replies come in and are matched. Lives
 * on one loop; allocates nothing for a request.
 *
 * <p>Requests that are submitted in one turn of the loop leave together at its end. When the link breaks, its requests go
 * back to the {@link LinkGroup}, but only after the kernel has let go of their memory.
 */
final class ClientLink implements Outbox.Listener {
    private static final int INPUT_BYTES = 128 << 10;
    private static final int REQUESTS_A_BATCH = 256;

    /** The longest header, with the payload that chooses a context. */
    private static final int REQUEST_BYTES_MAX = TransmissionLayout.EXTENDED_REQUEST_BYTES + 12;

    /** How long a server may take to receive what was under way when the device was closed. */
    private static final long GOODBYE_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final LinkGroup group;
    private final EventLoop loop;
    private final Transport transport;
    private final SessionTerms terms;
    private final boolean extended;
    private final boolean timed;
    private final boolean choosesContexts;
    private final Outbox outbox;
    private final ReplyReader reader;
    private final IoBuffer input = IoBuffer.allocate(INPUT_BYTES);
    private final IoBuffer outputMemory;
    private final Receiving receiving = new Receiving();
    private final Direct direct = new Direct();
    private final Runnable turnLater = this::turnAfterCommands;

    private @Nullable ClientRequest waitingHead;
    private @Nullable ClientRequest waitingTail;
    private @Nullable ClientRequest early;
    private int load;
    private long batchesSent;
    private boolean running;
    private boolean again;
    private boolean turnScheduled;
    private @Nullable BlockError broken;
    private boolean closing;
    private boolean disconnectSent;
    private EventLoop.Timer goodbye = () -> {};
    private boolean over;

    ClientLink(LinkGroup group, Transport transport, SessionTerms terms, boolean timed) {
        this.group = group;
        this.loop = transport.loop();
        this.transport = transport;
        this.terms = terms;
        this.timed = timed;
        this.extended = terms.replies().extended();
        this.choosesContexts = (terms.export().transmissionFlags() & Nbd.FLAG_BLOCK_STATUS_PAYLOAD) != 0
                && terms.contexts().size() > 1;
        // The last place is for the request to disconnect, which must find room whenever the device is closed.
        int smallBytes = (REQUESTS_A_BATCH + 1) * REQUEST_BYTES_MAX;
        int vectors = 2 * REQUESTS_A_BATCH + 1;
        this.outputMemory = IoBuffer.allocate(Outbox.memoryBytes(smallBytes, vectors));
        this.outbox = new Outbox(transport, outputMemory.segment(), smallBytes, vectors, this);
        this.reader = new ReplyReader(this, input, terms, group.contextIds(terms));
    }

    void start(byte[] earlyBytes) {
        MemorySegment.copy(earlyBytes, 0, input.segment(), ValueLayout.JAVA_BYTE, 0, earlyBytes.length);
        reader.received(earlyBytes.length);
        turn();
    }

    /** Requests that it has. */
    int load() {
        return load;
    }

    /** True while it can be given requests. */
    boolean usable() {
        return broken == null && !closing;
    }

    // ---- requests

    void submit(ClientRequest request) {
        request.link = this;
        load++;
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
        if (!outbox.hasRoom(2 * REQUEST_BYTES_MAX, 3)) {
            return false;
        }
        request.cookie = group.nextCookie(request);
        request.inFlight = true;
        request.batch = outbox.sending() ? batchesSent + 1 : batchesSent;
        request.contextsSeen = 0;
        request.error = null;
        request.sentNanos = timed ? loop.nanoTime() : 0;
        request.coverage.clear();
        if (extended) {
            putExtended(request);
        } else {
            long at = outbox.take(TransmissionLayout.REQUEST_BYTES);
            TransmissionLayout.putRequest(
                    outbox.memory(), at, request.flags, request.type, request.cookie, request.offset, (int)
                            request.length);
        }
        if (request.file >= 0) {
            outbox.appendFile(request.file, request.filePosition, (int) request.length);
        } else if (request.type == Nbd.CMD_WRITE) {
            outbox.append(request.buffer().address() + request.at, (int) request.length);
        }
        return true;
    }

    private void putExtended(ClientRequest request) {
        boolean chooses = request.type == Nbd.CMD_BLOCK_STATUS && choosesContexts;
        boolean carries = chooses || request.type == Nbd.CMD_WRITE;
        int headerBytes = TransmissionLayout.EXTENDED_REQUEST_BYTES;
        long at = outbox.take(chooses ? headerBytes + 12 : headerBytes);
        TransmissionLayout.putExtendedRequest(
                outbox.memory(),
                at,
                carries ? request.flags | Nbd.CMD_FLAG_PAYLOAD_LEN : request.flags,
                request.type,
                request.cookie,
                request.offset,
                chooses ? 12 : request.length);
        if (chooses) {
            outbox.memory().set(TransmissionLayout.LONG, at + headerBytes, request.length);
            outbox.memory().set(TransmissionLayout.INT, at + headerBytes + 8, reader.contextId(request.context));
        }
    }

    /** The request in flight that a server means, or null if there is none. */
    @Nullable
    ClientRequest find(long cookie) {
        ClientRequest request = group.find(cookie);
        return request != null && request.link == this && request.inFlight && request.cookie == cookie ? request : null;
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
        load--;
        request.link = null;
        group.concluded(request);
    }

    private void concludeEarly() {
        ClientRequest request = early;
        early = null;
        while (request != null) {
            ClientRequest following = request.next;
            request.next = null;
            conclude(request);
            request = following;
        }
    }

    BlockError errorOf(ClientRequest request, ErrorKind kind, String detail) {
        return group.errorOf(request, kind, detail);
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
            System.getLogger(ClientLink.class.getName())
                    .log(System.Logger.Level.ERROR, "the connection to " + group.name() + " failed", defect);
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
        while (broken == null && !closing && waitingHead != null) {
            ClientRequest request = Objects.requireNonNull(waitingHead);
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
        transport.receive(input.address() + reader.roomAt(), reader.room(), receiving);
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
            transport.receiveFully(reader.directAddress(), expected, this);
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
        concludeEarly();
        turn();
    }

    @Override
    public void sendFailed(int error) {
        breakOff(Errno.text(error));
        turn();
    }

    @Override
    public void fileFailed(int error) {
        String why = error == 0 ? "it ends too soon" : Errno.text(error);
        breakOff(ErrorKind.IO, "the file that is sent cannot be read: " + why);
        turn();
    }

    // ---- the end

    /** The link is of no use any more; why is what its requests are told, unless another link takes them. */
    void breakOff(String why) {
        breakOff(ErrorKind.UNAVAILABLE, why);
    }

    /** As {@link #breakOff(String)}; from outside of a turn. */
    void abandon(ErrorKind kind, String why) {
        breakOff(kind, why);
        resume();
    }

    private void breakOff(ErrorKind kind, String why) {
        if (broken == null) {
            broken = BlockError.of(kind, group.name(), "connection", why);
            if (!over) {
                transport.shutdown();
            }
        }
    }

    /** Sends what is in the outbox and a good-bye, and ends. */
    void close() {
        if (!closing) {
            closing = true;
            goodbye = loop.schedule(GOODBYE_NANOS, this::goodbyeOver);
        }
        resume();
    }

    private void goodbyeOver() {
        breakOff(ErrorKind.CLOSED, "the device is closed");
        turn();
    }

    /** Brings to an end what has to end, once the kernel has nothing of ours in its hands. */
    private void finish() {
        if (over) {
            return;
        }
        if (closing && broken == null) {
            if (!disconnectSent) {
                disconnectSent = true;
                putDisconnect();
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
        over = true;
        transport.close();
        goodbye.cancel();
        concludeEarly();
        waitingHead = null;
        waitingTail = null;
        load = 0;
        group.lost(this, why);
    }

    private void putDisconnect() {
        if (extended) {
            long at = outbox.take(TransmissionLayout.EXTENDED_REQUEST_BYTES);
            TransmissionLayout.putExtendedRequest(outbox.memory(), at, 0, Nbd.CMD_DISC, 0, 0, 0);
        } else {
            long at = outbox.take(TransmissionLayout.REQUEST_BYTES);
            TransmissionLayout.putRequest(outbox.memory(), at, 0, Nbd.CMD_DISC, 0, 0, 0);
        }
    }

    SessionTerms terms() {
        return terms;
    }
}
