package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.nbd.wire.ExportFacts;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.SessionTerms;
import dev.ferry.reactor.EventLoop;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The requests of a device, and the connections that they are spread over: each goes to the one that has the fewest.
 * Belongs to the device's loop.
 *
 * <p>When a connection is lost and the settings allow for it, what it had not answered is sent again on another one, or
 * waits until there is one; what it had answered is not. A request is given up after {@link #LOSSES_MAX} connections, so
 * that one that kills its server does not do so for ever. Without that, one lost connection ends the device.
 *
 * <p>Sending again is right because nothing above has two overlapping changes in flight, so that nothing can have come in
 * between. Two things it cannot do: bring back what a server had acknowledged, but not made durable, when that server's
 * machine went down; and stop a server from still carrying out what it had been sent on a connection that only this end
 * thinks is lost. A server that works on for long after its connection is gone should not be given a {@code requestMax}.
 */
final class LinkGroup {
    private static final int REQUESTS_MAX = 1 << 20;
    private static final int LOSSES_MAX = 8;
    private static final int CHECKS_A_BOUND = 4;

    private final EventLoop loop;
    private final String name;
    private final ClientSettings settings;
    private final SessionTerms terms;
    private final List<String> contexts;
    private final Reconnecting reconnecting;
    private final ClientLink[] links;
    private int linkCount;

    private ClientRequest[] table = new ClientRequest[0];
    private int tableSize;
    private @Nullable ClientRequest free;
    private @Nullable ClientRequest waitingHead;
    private @Nullable ClientRequest waitingTail;
    private long sequence;
    private int turn;
    private @Nullable BlockError failed;
    private @Nullable Completion closing;
    private boolean closed;
    private boolean watching;

    /** @param wanted how many connections there are to be */
    LinkGroup(EventLoop loop, NbdUri uri, ClientSettings settings, SessionTerms terms, int wanted) {
        this.loop = loop;
        this.name = uri.toString();
        this.settings = settings;
        this.terms = terms;
        this.contexts =
                terms.contexts().stream().map(SessionTerms.Context::name).toList();
        this.links = new ClientLink[wanted];
        this.reconnecting = new Reconnecting(this, loop, uri, settings);
    }

    String name() {
        return name;
    }

    /** The contexts that were agreed on; a request names one by its place. */
    List<String> contexts() {
        return contexts;
    }

    /** The numbers that a connection has for the contexts. */
    int[] contextIds(SessionTerms of) {
        int[] ids = new int[contexts.size()];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = Objects.requireNonNull(of.context(contexts.get(i))).id();
        }
        return ids;
    }

    // ---- connections

    /** Takes in the connections that it begins with. */
    void begin(List<Negotiation.Result> results) {
        for (Negotiation.Result result : results) {
            take(result);
        }
    }

    /** Takes in a connection that was made later; more are tried for while some are missing. */
    void add(Negotiation.Result result) {
        take(result);
        if (linkCount < links.length && failed == null && closing == null) {
            reconnecting.begin(linkCount == 0);
        }
    }

    private void take(Negotiation.Result result) {
        SessionTerms fresh = result.handshake().terms();
        String difference = difference(fresh);
        if (failed != null || closing != null || difference != null || linkCount == links.length) {
            result.close();
            if (difference != null && failed == null && closing == null) {
                fail(BlockError.of(ErrorKind.CORRUPT, name, "reconnect", difference));
            }
            return;
        }
        boolean timed = !settings.requestMax().isZero();
        ClientLink link = new ClientLink(this, result.usable(), fresh, timed);
        links[linkCount++] = link;
        sendWaiting();
        link.start(result.early());
    }

    /** Why another connection cannot take the place of the first one; null if it can. */
    private @Nullable String difference(SessionTerms fresh) {
        ExportFacts was = terms.export();
        ExportFacts is = fresh.export();
        if (was.sizeBytes() != is.sizeBytes()) {
            return "the export has another size now: " + is.sizeBytes() + " bytes, not " + was.sizeBytes();
        }
        int capable = was.transmissionFlags() & ~Nbd.FLAG_READ_ONLY;
        boolean less = (is.transmissionFlags() & capable & ~Nbd.FLAG_BLOCK_STATUS_PAYLOAD)
                        != (capable & ~Nbd.FLAG_BLOCK_STATUS_PAYLOAD)
                || (is.transmissionFlags() & ~was.transmissionFlags() & Nbd.FLAG_READ_ONLY) != 0
                || was.minimumBlockBytes() % is.minimumBlockBytes() != 0
                || is.maximumPayloadBytes() < was.maximumPayloadBytes();
        for (String context : contexts) {
            less |= fresh.context(context) == null;
        }
        return less ? "the export can do less than it could before the connection was lost" : null;
    }

    private boolean reconnects() {
        return !settings.reconnectMax().isZero();
    }

    /** A connection has ended; its memory is free. */
    void lost(ClientLink link, BlockError why) {
        for (int i = 0; i < linkCount; i++) {
            if (links[i] == link) {
                links[i] = links[--linkCount];
                break;
            }
        }
        boolean again = closing == null && failed == null && reconnects();
        if (!again && closing == null && failed == null) {
            fail(why);
        }
        for (int i = 0; i < tableSize; i++) {
            ClientRequest request = table[i];
            if (request.link == link && request.completion != null) {
                takeBack(request, again, why);
            }
        }
        if (again) {
            reconnecting.begin(linkCount == 0);
        }
        endIfDone();
    }

    private void takeBack(ClientRequest request, boolean again, BlockError why) {
        request.link = null;
        request.inFlight = false;
        request.losses++;
        boolean described = request.type == Nbd.CMD_BLOCK_STATUS && request.statusNext > request.offset;
        if (again && described) {
            // What has been told must not be told again; an answer may end early.
            request.error = null;
            end(request, null);
        } else if (again && request.losses < LOSSES_MAX) {
            submit(request);
        } else {
            end(request, errorOf(request, why.kind(), why.detail()));
        }
    }

    /** No connection has been had within the bound. */
    void gaveUp(String why) {
        if (linkCount == 0 && failed == null) {
            fail(BlockError.of(
                    ErrorKind.UNAVAILABLE,
                    name,
                    "reconnect",
                    "the server has been away for " + settings.reconnectMax().toSeconds() + " s: " + why));
        }
    }

    /** Ends everything, now and later, with one error. */
    private void fail(BlockError why) {
        failed = why;
        for (int i = 0; i < linkCount; i++) {
            links[i].abandon(why.kind(), why.detail());
        }
        endWaiting(why.kind(), why.detail());
    }

    private void endWaiting(ErrorKind kind, String detail) {
        ClientRequest request = waitingHead;
        waitingHead = null;
        waitingTail = null;
        while (request != null) {
            ClientRequest following = request.next;
            end(request, errorOf(request, kind, detail));
            request = following;
        }
    }

    // ---- requests

    ClientRequest request(int type, int flags, long offset, long length, Completion completion) {
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
        request.losses = 0;
        request.statusNext = offset;
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

    /** A number that no other request has had. */
    long nextCookie(ClientRequest request) {
        return ++sequence << 20 | request.index;
    }

    /** The request that a number may be of; the link looks closer. */
    @Nullable
    ClientRequest find(long cookie) {
        long index = cookie & (REQUESTS_MAX - 1);
        return index < tableSize ? table[(int) index] : null;
    }

    void submit(ClientRequest request) {
        BlockError error = failed;
        if (error != null) {
            end(request, errorOf(request, error.kind(), error.detail()));
            return;
        }
        if (closing != null) {
            end(request, errorOf(request, ErrorKind.CLOSED, "the device is closed"));
            return;
        }
        ClientLink link = idlest();
        if (link == null) {
            await(request);
        } else {
            link.submit(request);
        }
        if (!watching && !settings.requestMax().isZero()) {
            watch();
        }
    }

    private @Nullable ClientLink idlest() {
        if (linkCount == 1) {
            return links[0].usable() ? links[0] : null;
        }
        ClientLink best = null;
        int leastLoad = Integer.MAX_VALUE;
        for (int i = 0; i < linkCount; i++) {
            ClientLink link = links[(turn + i) % linkCount];
            if (link.usable() && link.load() < leastLoad) {
                best = link;
                leastLoad = link.load();
            }
        }
        turn = (turn + 1) % links.length;
        return best;
    }

    private void await(ClientRequest request) {
        request.next = null;
        if (waitingTail == null) {
            waitingHead = request;
        } else {
            waitingTail.next = request;
        }
        waitingTail = request;
    }

    private void sendWaiting() {
        ClientRequest request = waitingHead;
        waitingHead = null;
        waitingTail = null;
        while (request != null) {
            ClientRequest following = request.next;
            request.next = null;
            submit(request);
            request = following;
        }
    }

    /** A link has done with a request, which says how it ended. */
    void concluded(ClientRequest request) {
        BlockError error = request.error;
        if (error == null && request.restBytes > 0) {
            request.offset += request.length;
            long piece = Math.min(request.restBytes, request.length);
            request.restBytes -= piece;
            request.length = piece;
            submit(request);
            return;
        }
        end(request, error);
    }

    private void end(ClientRequest request, @Nullable BlockError error) {
        Completion completion = Objects.requireNonNull(request.completion);
        request.completion = null;
        request.buffer = null;
        request.file = -1;
        request.sink = null;
        request.link = null;
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

    // ---- the bound on answers

    private void watch() {
        watching = true;
        loop.schedule(settings.requestMax().toNanos() / CHECKS_A_BOUND, this::check);
    }

    private void check() {
        watching = false;
        long now = loop.nanoTime();
        boolean more = false;
        for (int i = 0; i < tableSize; i++) {
            ClientRequest request = table[i];
            ClientLink link = request.link;
            if (!request.inFlight || link == null) {
                continue;
            }
            more = true;
            if (now - request.sentNanos > settings.requestMax().toNanos()) {
                link.abandon(
                        ErrorKind.TIMED_OUT,
                        "no answer for " + TimeUnit.NANOSECONDS.toMillis(now - request.sentNanos) + " ms");
            }
        }
        if (more && failed == null && closing == null) {
            watch();
        }
    }

    // ---- the end

    void close(Completion completion) {
        Invariant.that(closing == null, "a device is closed once");
        closing = completion;
        reconnecting.stop();
        endWaiting(ErrorKind.CLOSED, "the device is closed");
        for (int i = 0; i < linkCount; i++) {
            links[i].close();
        }
        endIfDone();
    }

    private void endIfDone() {
        Completion whenClosed = closing;
        if (whenClosed != null && linkCount == 0 && !closed) {
            closed = true;
            whenClosed.complete(null);
        }
    }
}
