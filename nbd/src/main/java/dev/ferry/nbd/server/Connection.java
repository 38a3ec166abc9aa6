package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import dev.ferry.nbd.transport.Outbox;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.SessionTerms;
import dev.ferry.nbd.wire.TransmissionLayout;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One client in the transmission phase. Lives on the loop of its export, and allocates nothing for a request.
 *
 * <pre>
 *   socket ─▶ receive buffer ─▶ parse: all requests in it ─▶ device ─▶ replies ─▶ Outbox ─▶ socket
 *                  ▲                                                      └─▶ FileReplies (sendfile)
 *                  └── not received into while too much is in flight
 * </pre>
 *
 * <p>A turn parses what has come, sends what has been answered meanwhile in one call, and asks for more. Requests may
 * end inline, from within the parse, or later, many in one turn of the loop: then one command at its end sends their
 * replies together. Whatever happens calls {@link #turn}, which never calls itself.
 */
final class Connection implements Outbox.Listener {
    private static final System.Logger LOG = System.getLogger(Connection.class.getName());

    /** Reads from this size on are worth the two system calls of a sendfile. */
    private static final int FILE_REPLY_BYTES = 128 << 10;

    /**
     * A write up to this size is taken when all of it is in the receive buffer: another receive brings the rest of it
     * together with the requests behind it. A longer one has its data received in place.
     */
    private static final int WHOLE_WRITE_BYTES = 32 << 10;

    /** After a long write, so much is received at first, so that little of the next one has to be copied. */
    private static final int SMALL_RECEIVE_BYTES = 4096;

    private static final long RETRY_NANOS = TimeUnit.MILLISECONDS.toNanos(1);
    private static final int RETRIES_MAX = 10_000;

    private final ExportEntry entry;
    private final EventLoop loop;
    private final int socket;
    private final BlockDevice device;
    private final ServerSettings settings;
    private final ConnectionMemory memory;
    private final RequestRules rules;
    private final RequestPool requests;
    private final ReplyWriter replies;
    private final Outbox outbox;
    private final @Nullable FileReplies files;
    private final IoBuffer input;
    private final MemorySegment inputSegment;
    private final Receiving receiving = new Receiving();
    private final Payload payload = new Payload();
    private final Runnable turnLater = this::turnAfterCompletions;
    private final Runnable retry = this::retried;

    private int readAt;
    private int writeAt;
    private int receiveMax;
    private long drain;
    private @Nullable ServerRequest refusedWrite;
    private int refusedError;
    private @Nullable ServerRequest hungry;
    private final @Nullable ServerRequest[] sentWith = new @Nullable ServerRequest[2];
    private final int[] repliesIn = new int[2];
    private int unanswered;
    private int inDevice;
    private boolean throttled;
    private int retries;
    private boolean retrying;
    private boolean running;
    private boolean again;
    private boolean turnScheduled;
    private boolean leaving;
    private boolean broken;
    private boolean closed;
    private EventLoop.@Nullable Timer goodbye;

    Connection(ExportEntry entry, int socket, SessionTerms terms, ServerSettings settings, ConnectionMemory memory) {
        Export export = entry.export();
        this.entry = entry;
        this.loop = export.loop();
        this.socket = socket;
        this.device = export.device();
        this.settings = settings;
        this.memory = memory;
        this.rules = new RequestRules(terms);
        this.requests = new RequestPool(this, export.buffers(), settings.bytesInFlightMax());
        this.input = memory.input();
        this.inputSegment = input.segment();
        this.receiveMax = input.capacity();
        this.outbox = memory.outbox(loop, socket, this);
        this.replies = new ReplyWriter(outbox, terms.structuredReplies());
        this.files = Sockets.isUnix(socket)
                ? new FileReplies(this, loop, socket, export, terms.structuredReplies(), memory.header())
                : null;
    }

    BlockDevice device() {
        return device;
    }

    /** The longest read that the device takes. */
    int transferMax() {
        return rules.transferMax();
    }

    /** Begins, with bytes that came behind the handshake. */
    void start(byte[] early) {
        MemorySegment.copy(early, 0, inputSegment, java.lang.foreign.ValueLayout.JAVA_BYTE, 0, early.length);
        writeAt = early.length;
        turn();
    }

    /** Sends the client away: what it has asked for is answered, then the connection closes. */
    void leave() {
        if (!leaving) {
            leaving = true;
            loop.cancel(receiving);
            loop.cancel(payload);
            goodbye = loop.schedule(settings.goodbyeMax().toNanos(), this::breakOff);
        }
        turn();
    }

    /** Ends the connection at once; what is in the device still has to come back. */
    void breakOff() {
        if (!broken && !closed) {
            broken = true;
            leaving = true;
            Sockets.shutdown(socket);
        }
        resume();
    }

    // ---- the turn

    private void turn() {
        if (running) {
            again = true;
            return;
        }
        running = true;
        try {
            do {
                again = false;
                feedHungry();
                parse();
                pump();
            } while (again);
        } catch (RuntimeException | AssertionError defect) {
            LOG.log(System.Logger.Level.ERROR, "a connection to export " + entry.name() + " failed", defect);
            broken = true;
            leaving = true;
            Sockets.shutdown(socket);
        } finally {
            running = false;
        }
        receive();
        closeIfDone();
    }

    /** Takes a turn soon, after the other completions of this turn of the loop. */
    void resume() {
        if (running) {
            again = true;
        } else if (!turnScheduled) {
            turnScheduled = true;
            loop.execute(turnLater);
        }
    }

    private void turnAfterCompletions() {
        turnScheduled = false;
        turn();
    }

    private void pump() {
        if (broken) {
            abandonReplies();
            return;
        }
        FileReplies large = files;
        if (large != null && (large.busy() || large.waits())) {
            if (large.pending() || outbox.sending()) {
                return;
            }
            if (!large.busy() && !outbox.isEmpty()) {
                outbox.flush();
                return;
            }
            large.send();
            if (large.busy()) {
                return;
            }
        }
        outbox.flush();
    }

    // ---- receiving

    private void receive() {
        if (leaving || throttled || receiving.inFlight() || payload.inFlight()) {
            return;
        }
        int left = writeAt - readAt;
        if (readAt > 0) {
            MemorySegment.copy(inputSegment, readAt, inputSegment, 0, left);
            readAt = 0;
            writeAt = left;
        }
        int room = Math.min(input.capacity() - writeAt, receiveMax);
        loop.receive(socket, input.address() + writeAt, room, receiving);
    }

    private final class Receiving extends IoOperation {
        @Override
        protected void completed(int result) {
            if (result > 0) {
                writeAt += result;
                receiveMax = input.capacity();
            } else if (!leaving) {
                // The end of the stream, or an error: there is nobody to answer to, but what was asked for is done.
                leave();
                return;
            }
            turn();
        }
    }

    /** The part of a write's data that was not in the receive buffer. */
    private final class Payload extends IoOperation {
        private @Nullable ServerRequest request;
        private int missing;

        void begin(ServerRequest write, int present) {
            request = write;
            missing = (int) write.length - present;
            receiveMax = SMALL_RECEIVE_BYTES;
            loop.receiveFully(socket, write.buffer().address() + present, missing, this);
        }

        @Override
        protected void completed(int result) {
            ServerRequest write = java.util.Objects.requireNonNull(request);
            request = null;
            if (result == missing) {
                submitWrite(write);
            } else {
                answered(write);
                leave();
            }
            turn();
        }
    }

    // ---- requests

    private void parse() {
        while (!leaving && !throttled && !payload.inFlight()) {
            if (drain > 0) {
                int taken = (int) Math.min(drain, writeAt - readAt);
                drain -= taken;
                readAt += taken;
                if (drain > 0) {
                    return;
                }
                answerRefusedWrite();
            }
            if (writeAt - readAt < TransmissionLayout.REQUEST_BYTES || !parseOne()) {
                return;
            }
        }
    }

    /** Clients take no answer to a write that they have not sent in full. */
    private void answerRefusedWrite() {
        ServerRequest request = java.util.Objects.requireNonNull(refusedWrite);
        refusedWrite = null;
        unanswered++;
        replyError(request, refusedError, "");
    }

    private boolean parseOne() {
        MemorySegment in = inputSegment;
        int at = readAt;
        if (in.get(TransmissionLayout.INT, at) != Nbd.REQUEST_MAGIC) {
            breakOff();
            return false;
        }
        int flags = in.get(TransmissionLayout.SHORT, at + TransmissionLayout.REQUEST_FLAGS) & 0xffff;
        int type = in.get(TransmissionLayout.SHORT, at + TransmissionLayout.REQUEST_TYPE) & 0xffff;
        long offset = in.get(TransmissionLayout.LONG, at + TransmissionLayout.REQUEST_OFFSET);
        long length = Integer.toUnsignedLong(in.get(TransmissionLayout.INT, at + TransmissionLayout.REQUEST_LENGTH));
        if (type == Nbd.CMD_DISC) {
            leave();
            return false;
        }
        if (type == Nbd.CMD_WRITE && length > RequestRules.PAYLOAD_DRAINED_MAX) {
            breakOff();
            return false;
        }
        if (type == Nbd.CMD_WRITE
                && length <= WHOLE_WRITE_BYTES
                && writeAt - readAt - TransmissionLayout.REQUEST_BYTES < length) {
            return false;
        }
        if (unanswered >= settings.requestsInFlightMax()) {
            throttled = true;
            return false;
        }
        ServerRequest request = requests.take();
        request.type = type;
        request.flags = flags;
        request.cookie = in.get(TransmissionLayout.LONG, at + TransmissionLayout.REQUEST_COOKIE);
        request.offset = offset;
        request.length = length;
        int error = rules.check(type, flags, offset, length);
        if (error != 0 || length == 0) {
            readAt += TransmissionLayout.REQUEST_BYTES;
            if (error != 0 && type == Nbd.CMD_WRITE && length > 0) {
                drain = length;
                refusedWrite = request;
                refusedError = error;
                return true;
            }
            unanswered++;
            if (error != 0) {
                replyError(request, error, "");
            } else if (type == Nbd.CMD_FLUSH) {
                submit(request);
            } else {
                replyDone(request);
            }
            return true;
        }
        boolean byFile = type == Nbd.CMD_READ
                && length >= FILE_REPLY_BYTES
                && files != null
                && files.located(offset, (int) length);
        if (!byFile && !provide(request)) {
            throttled = true;
            requests.release(request);
            return false;
        }
        readAt += TransmissionLayout.REQUEST_BYTES;
        unanswered++;
        retries = 0;
        if (byFile) {
            request.startNanos = loop.nanoTime();
            java.util.Objects.requireNonNull(files).add(request);
            pump();
        } else if (type == Nbd.CMD_WRITE) {
            return takePayload(request);
        } else {
            submit(request);
        }
        return true;
    }

    /** Gives a request the memory that it needs; false if there is none now, or the client has enough of it. */
    private boolean provide(ServerRequest request) {
        int bytes = rules.bufferBytes(request.type, request.length);
        return switch (requests.provide(request, bytes)) {
            case DONE -> true;
            case CLIENT_HAS_ENOUGH -> false;
            case NONE_LEFT -> {
                retrySoon();
                yield false;
            }
        };
    }

    /** Memory is short because of others: nobody will tell us when it is not. */
    private void retrySoon() {
        if (!retrying) {
            retrying = true;
            if (unanswered == 0 && ++retries > RETRIES_MAX) {
                breakOff();
            }
            loop.schedule(RETRY_NANOS, retry);
        }
    }

    private void retried() {
        retrying = false;
        throttled = false;
        turn();
    }

    private boolean takePayload(ServerRequest request) {
        int present = (int) Math.min(request.length, writeAt - readAt);
        MemorySegment.copy(inputSegment, readAt, request.buffer().segment(), 0, present);
        readAt += present;
        if (present == request.length) {
            submitWrite(request);
            return true;
        }
        payload.begin(request, present);
        return false;
    }

    private void submitWrite(ServerRequest request) {
        int fua = (request.flags & Nbd.CMD_FLAG_FUA) != 0 ? RequestFlags.FUA : 0;
        inDevice++;
        device.write(request.offset, request.buffer(), 0, (int) request.length, fua, request);
    }

    private void submit(ServerRequest request) {
        int fua = (request.flags & Nbd.CMD_FLAG_FUA) != 0 ? RequestFlags.FUA : 0;
        inDevice++;
        switch (request.type) {
            case Nbd.CMD_READ -> device.read(request.offset, request.buffer(), 0, (int) request.length, request);
            case Nbd.CMD_FLUSH -> device.flush(request);
            case Nbd.CMD_TRIM -> device.discard(request.offset, request.length, fua, request);
            case Nbd.CMD_WRITE_ZEROES ->
                device.writeZeroes(
                        request.offset, request.length, fua | RequestRules.zeroFlags(request.flags), request);
            case Nbd.CMD_CACHE -> request.beginReadAhead();
            case Nbd.CMD_BLOCK_STATUS -> {
                request.beginStatus(rules.allocationContext(), (request.flags & Nbd.CMD_FLAG_REQ_ONE) != 0);
                device.extents(request.offset, request.length, request, request);
            }
            default -> throw new IllegalStateException("a command that the rules let through and nobody knows");
        }
    }

    /** A read whose range was in a file and is no more. */
    void readInstead(ServerRequest request) {
        if (provide(request)) {
            submit(request);
        } else {
            request.next = hungry;
            hungry = request;
        }
    }

    private void feedHungry() {
        ServerRequest waiting = hungry;
        hungry = null;
        while (waiting != null) {
            ServerRequest following = waiting.next;
            if (broken) {
                answered(waiting);
            } else {
                readInstead(waiting);
            }
            waiting = following;
        }
    }

    void submitted() {
        inDevice++;
    }

    void returned() {
        inDevice--;
    }

    // ---- replies

    /** The device has done with a request. */
    void ended(ServerRequest request, @Nullable BlockError error) {
        inDevice--;
        if (broken) {
            answered(request);
        } else if (error != null) {
            replyError(request, RequestRules.errorOf(request, error), error.detail());
        } else {
            replyDone(request);
        }
        resume();
    }

    private void replyDone(ServerRequest request) {
        switch (request.type) {
            case Nbd.CMD_READ -> replies.read(request);
            case Nbd.CMD_BLOCK_STATUS -> {
                if (request.statusBytes == 4) {
                    replyError(request, Nbd.EIO, "the device describes nothing");
                    return;
                }
                replies.status(request);
            }
            default -> replies.done(request.cookie);
        }
        replied(request);
    }

    private void replyError(ServerRequest request, int error, String text) {
        // Every unanswered request has a claim on the small messages' room; the text takes only what is left.
        int spare = outbox.smallRoom() - unanswered * ReplyWriter.SMALL_REPLY_BYTES;
        replies.error(request, error, text, spare);
        request.releaseBuffer();
        replied(request);
    }

    private void replied(ServerRequest request) {
        int batch = outbox.filling();
        repliesIn[batch]++;
        if (request.buffer != null) {
            request.next = sentWith[batch];
            sentWith[batch] = request;
        } else {
            requests.release(request);
        }
    }

    @Override
    public void batchSent(int batch) {
        unanswered -= repliesIn[batch];
        repliesIn[batch] = 0;
        ServerRequest sent = sentWith[batch];
        sentWith[batch] = null;
        while (sent != null) {
            ServerRequest following = sent.next;
            requests.release(sent);
            sent = following;
        }
        throttled = false;
        turn();
    }

    @Override
    public void sendFailed(int error) {
        breakOff();
        turn();
    }

    /** A request that was answered past the outbox, or never will be. */
    void answered(ServerRequest request) {
        unanswered--;
        requests.release(request);
        throttled = false;
        again = true;
    }

    private void abandonReplies() {
        if (outbox.sending()) {
            return;
        }
        for (int batch = 0; batch < 2; batch++) {
            unanswered -= repliesIn[batch];
            repliesIn[batch] = 0;
            while (sentWith[batch] != null) {
                ServerRequest sent = java.util.Objects.requireNonNull(sentWith[batch]);
                sentWith[batch] = sent.next;
                requests.release(sent);
            }
        }
        if (files != null) {
            files.abandon();
        }
    }

    // ---- end

    private void closeIfDone() {
        boolean idle = inDevice == 0 && unanswered == 0 && !outbox.sending() && hungry == null;
        boolean quiet = !receiving.inFlight() && !payload.inFlight() && (files == null || !files.pending());
        if (!leaving || closed || !idle || !quiet) {
            return;
        }
        closed = true;
        EventLoop.Timer timer = goodbye;
        if (timer != null) {
            timer.cancel();
        }
        Linux.close(socket);
        memory.release();
        entry.left(this);
    }
}
