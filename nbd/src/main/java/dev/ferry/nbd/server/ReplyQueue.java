package dev.ferry.nbd.server;

import dev.ferry.nbd.transport.Outbox;
import dev.ferry.nbd.transport.Transport;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.ReplyStyle;
import org.jspecify.annotations.Nullable;

/**
 * Replies of one connection on their way out, and the requests whose memory they are in: those go back to the pool when
 * the socket has taken the batch that they are part of. Belongs to its connection.
 */
final class ReplyQueue implements Outbox.Listener {
    private final Connection connection;
    private final RequestPool requests;
    private final Outbox outbox;
    private final ReplyWriter writer;
    private final @Nullable ServerRequest[] sentWith = new @Nullable ServerRequest[2];
    private final int[] repliesIn = new int[2];

    ReplyQueue(
            Connection connection,
            RequestPool requests,
            ConnectionMemory memory,
            Transport transport,
            ReplyStyle style) {
        this.connection = connection;
        this.requests = requests;
        this.outbox = memory.outbox(transport, this);
        this.writer = new ReplyWriter(outbox, style);
    }

    boolean sending() {
        return outbox.sending();
    }

    /** True if nothing gathers. */
    boolean isEmpty() {
        return outbox.isEmpty();
    }

    void flush() {
        outbox.flush();
    }

    /**
     * A request has been done.
     *
     * @param unanswered requests that have a claim on the outbox, this one included
     */
    void done(ServerRequest request, int unanswered) {
        switch (request.type) {
            case Nbd.CMD_READ -> writer.read(request, spareBytes(unanswered), outbox.vectorRoom() - 2 * unanswered);
            case Nbd.CMD_BLOCK_STATUS -> writer.status(request, request.status().bytes());
            default -> writer.done(request);
        }
        replied(request);
    }

    /** A request has failed, or is refused. The text is for people, and left out where there is no room for it. */
    void failed(ServerRequest request, int error, String text, int unanswered) {
        writer.error(request, error, text, spareBytes(unanswered));
        request.releaseBuffer();
        replied(request);
    }

    /** Every unanswered request has a claim on the small messages' room; others take only what is left. */
    private int spareBytes(int unanswered) {
        return outbox.smallRoom() - unanswered * ReplyWriter.SMALL_REPLY_BYTES;
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

    /** Takes back what was in a batch; gives the number of replies. */
    private int clear(int batch) {
        int replies = repliesIn[batch];
        repliesIn[batch] = 0;
        ServerRequest sent = sentWith[batch];
        sentWith[batch] = null;
        while (sent != null) {
            ServerRequest following = sent.next;
            requests.release(sent);
            sent = following;
        }
        return replies;
    }

    @Override
    public void batchSent(int batch) {
        connection.repliesSent(clear(batch));
    }

    @Override
    public void sendFailed(int error) {
        connection.breakOff();
    }

    /** Gives up what has not been sent; nothing may be under way. The number of replies that nobody gets. */
    int abandon() {
        return clear(0) + clear(1);
    }
}
