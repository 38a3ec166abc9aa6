package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.RequestFlags;
import dev.ferry.nbd.transport.Transport;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.ReplyStyle;
import dev.ferry.nbd.wire.SessionTerms;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.Sockets;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One client in the transmission phase. Lives on the loop of its export, and allocates nothing for a request.
 *
 * <pre>
 *   socket ─▶ RequestStream ─▶ admit: all requests that have come ─▶ device ─▶ ReplyQueue ─▶ socket
 *                  ▲                                                    └─▶ FileReplies (sendfile)
 *                  └── not received into while too much is in flight
 * </pre>
 *
 * <p>A turn parses what has come, sends what has been answered meanwhile in one call, and asks for more. Requests may
 * end inline, from within the parse, or later, many in one turn of the loop: then one command at its end sends their
 * replies together. Whatever happens calls {@link #turn}, which never calls itself.
 */
final class Connection {
    private static final System.Logger LOG = System.getLogger(Connection.class.getName());

    /** Reads from this size on are worth the two system calls of a sendfile. */
    private static final int FILE_REPLY_BYTES = 128 << 10;

    private static final long RETRY_NANOS = TimeUnit.MILLISECONDS.toNanos(1);
    private static final int RETRIES_MAX = 10_000;

    private final ExportEntry entry;
    private final EventLoop loop;
    private final Transport transport;
    private final BlockDevice device;
    private final ServerSettings settings;
    private final ConnectionMemory memory;
    private final ReplyStyle style;
    private final RequestRules rules;
    private final SelectedContexts contexts;
    private final RequestPool requests;
    private final RequestStream stream;
    private final ReplyQueue replies;
    private final @Nullable FileReplies files;
    private final Runnable turnLater = this::turnAfterCompletions;
    private final Runnable retry = this::retried;

    private @Nullable ServerRequest refused;
    private int refusedError;
    private @Nullable ServerRequest hungry;
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

    Connection(
            ExportEntry entry,
            Transport transport,
            SessionTerms terms,
            ServerSettings settings,
            ConnectionMemory memory) {
        Export export = entry.export();
        this.entry = entry;
        this.loop = export.loop();
        this.transport = transport;
        this.device = export.device();
        this.settings = settings;
        this.memory = memory;
        this.style = terms.replies();
        this.rules = new RequestRules(terms);
        this.contexts = new SelectedContexts(terms.contexts(), entry.contexts());
        this.requests = new RequestPool(this, export.buffers(), settings.bytesInFlightMax());
        this.stream = new RequestStream(this, transport, style, memory.input());
        this.replies = new ReplyQueue(this, requests, memory, transport, style);
        this.files = transport.inTheClear() && Sockets.isUnix(transport.socket())
                ? new FileReplies(this, loop, transport.socket(), export, style, memory.header())
                : null;
    }

    BlockDevice device() {
        return device;
    }

    ReplyStyle style() {
        return style;
    }

    SelectedContexts contexts() {
        return contexts;
    }

    /** The longest read that the device takes. */
    int transferMax() {
        return rules.transferMax();
    }

    /** Begins, with bytes that came behind the handshake. */
    void start(byte[] early) {
        stream.begin(early);
        turn();
    }

    /** Sends the client away: what it has asked for is answered, then the connection closes. */
    void leave() {
        if (!leaving) {
            leaving = true;
            stream.cancel();
            goodbye = loop.schedule(settings.goodbyeMax().toNanos(), this::breakOff);
        }
        turn();
    }

    /** Ends the connection at once; what is in the device still has to come back. */
    void breakOff() {
        if (!broken && !closed) {
            broken = true;
            leaving = true;
            transport.shutdown();
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
                while (!leaving && !throttled && stream.next() && admit()) {
                    // Each of them has been submitted, answered or refused.
                }
                pump();
            } while (again);
        } catch (RuntimeException | AssertionError defect) {
            LOG.log(System.Logger.Level.ERROR, "a connection to export " + entry.name() + " failed", defect);
            broken = true;
            leaving = true;
            transport.shutdown();
        } finally {
            running = false;
        }
        if (!leaving && !throttled) {
            stream.receive();
        }
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
            if (large.pending() || replies.sending()) {
                return;
            }
            if (!large.busy() && !replies.isEmpty()) {
                replies.flush();
                return;
            }
            large.send();
            if (large.busy()) {
                return;
            }
        }
        replies.flush();
    }

    // ---- what the stream tells

    /** Bytes have come, or their end: then there is nobody to answer to, but what was asked for is done. */
    void received(int result) {
        if (result <= 0 && !leaving) {
            leave();
        } else {
            turn();
        }
    }

    /** The rest of a write's data has come, or never will. */
    void payloadReceived(ServerRequest write, boolean whole) {
        if (whole) {
            submitWrite(write);
        } else {
            answered(write);
            leave();
        }
        turn();
    }

    /** Clients take no answer to a request that they have not sent in full; now they have. */
    void payloadPassedOver() {
        ServerRequest request = Objects.requireNonNull(refused);
        refused = null;
        unanswered++;
        refuse(request, refusedError);
    }

    // ---- requests

    /** Decides what becomes of the request whose header is next; false if it has to wait, or if it was the last. */
    private boolean admit() {
        int type = stream.type;
        if (type == Nbd.CMD_DISC) {
            leave();
            return false;
        }
        long payload = stream.payloadBytes();
        if (payload < 0 || payload > RequestRules.PAYLOAD_DRAINED_MAX) {
            breakOff();
            return false;
        }
        if (!stream.payloadAtHand()) {
            return false;
        }
        if (unanswered >= settings.requestsInFlightMax()) {
            throttled = true;
            return false;
        }
        ServerRequest request = requests.take();
        request.type = type;
        request.flags = stream.flags;
        request.cookie = stream.cookie;
        request.offset = stream.offset;
        request.length = stream.length;
        int error = type == Nbd.CMD_BLOCK_STATUS && !rules.takeContexts(stream, contexts, request)
                ? Nbd.EINVAL
                : rules.check(type, request.flags, request.offset, request.length);
        if (error != 0 || request.length == 0) {
            stream.accept();
            if (payload > 0) {
                stream.skip(payload);
                refused = request;
                refusedError = error;
                return true;
            }
            unanswered++;
            if (error != 0) {
                refuse(request, error);
            } else if (type == Nbd.CMD_FLUSH) {
                submit(request);
            } else {
                replies.done(request, unanswered);
            }
            return true;
        }
        boolean byFile = type == Nbd.CMD_READ
                && request.length >= FILE_REPLY_BYTES
                && files != null
                && files.sends(request.offset, (int) request.length);
        if (!byFile && !provide(request)) {
            throttled = true;
            requests.release(request);
            return false;
        }
        stream.accept();
        unanswered++;
        retries = 0;
        if (byFile) {
            request.startNanos = loop.nanoTime();
            Objects.requireNonNull(files).add(request);
            pump();
        } else if (type == Nbd.CMD_WRITE) {
            if (stream.takePayload(request)) {
                submitWrite(request);
            }
        } else {
            stream.discard((int) payload);
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
            case Nbd.CMD_BLOCK_STATUS -> request.status().begin();
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
            replies.failed(request, RequestRules.errorOf(request, error), error.detail(), unanswered);
        } else {
            replies.done(request, unanswered);
        }
        resume();
    }

    private void refuse(ServerRequest request, int error) {
        replies.failed(request, error, RequestRules.textOf(request, error), unanswered);
    }

    /** The socket has taken a batch of replies. */
    void repliesSent(int count) {
        unanswered -= count;
        throttled = false;
        turn();
    }

    /** A request that was answered past the queue, or never will be. */
    void answered(ServerRequest request) {
        unanswered--;
        requests.release(request);
        throttled = false;
        again = true;
    }

    private void abandonReplies() {
        if (replies.sending()) {
            return;
        }
        unanswered -= replies.abandon();
        if (files != null) {
            files.abandon();
        }
    }

    // ---- end

    private void closeIfDone() {
        boolean idle = inDevice == 0 && unanswered == 0 && !replies.sending() && hungry == null;
        boolean quiet = !stream.inFlight() && (files == null || !files.pending());
        if (!leaving || closed || !idle || !quiet) {
            return;
        }
        closed = true;
        EventLoop.Timer timer = goodbye;
        if (timer != null) {
            timer.cancel();
        }
        transport.close();
        memory.release();
        entry.left(this);
    }
}
