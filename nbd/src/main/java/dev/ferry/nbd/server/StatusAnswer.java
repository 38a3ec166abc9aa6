package dev.ferry.nbd.server;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.ReplyStyle;
import dev.ferry.nbd.wire.TransmissionLayout;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * The answer to BLOCK_STATUS: one chunk for each context that was asked for, written into the request's buffer as the
 * extents come, headers included. What does not fit is left to the client's next question. An error of one context is the
 * answer to all. Belongs to its request.
 */
final class StatusAnswer implements Completion, ExtentSink {
    /** Room for all chunks of an answer; some 8,000 extents of one context. */
    static final int BYTES = 64 << 10;

    private final Connection connection;
    private final ServerRequest request;
    private final SelectedContexts contexts;
    private final boolean extended;
    private final int chunkBytes;
    private final int prefixBytes;
    private final int extentBytes;

    private long remaining;
    private int context;
    private int chunkAt;
    private int used;
    private int limit;
    private long expected;
    private long lastStatus;
    private boolean submitting;
    private boolean endedInline;

    StatusAnswer(Connection connection, ServerRequest request) {
        ReplyStyle style = connection.style();
        this.connection = connection;
        this.request = request;
        this.contexts = connection.contexts();
        this.extended = style.extended();
        this.chunkBytes = style.chunkBytes();
        this.prefixBytes = extended ? 8 : 4;
        this.extentBytes = extended ? 16 : 8;
    }

    /** Bytes of the chunks. */
    int bytes() {
        return used;
    }

    /** Asks all contexts, one after the other; the connection is told at the end. */
    void begin() {
        remaining = request.contexts;
        used = 0;
        describe();
    }

    /** A loop, not a recursion, where contexts answer inline. */
    private void describe() {
        do {
            context = Long.numberOfTrailingZeros(remaining);
            int left = Long.bitCount(remaining);
            remaining &= remaining - 1;
            chunkAt = used;
            limit = used + (request.buffer().capacity() - used) / left;
            if ((request.flags & Nbd.CMD_FLAG_REQ_ONE) != 0) {
                limit = Math.min(limit, used + chunkBytes + prefixBytes + extentBytes);
            }
            used += chunkBytes + prefixBytes;
            expected = request.offset;
            submitting = true;
            endedInline = false;
            contexts.source(context).extents(request.offset, request.length, this, this);
            submitting = false;
        } while (endedInline);
    }

    @Override
    public void complete(@Nullable BlockError error) {
        boolean nothing = used == chunkAt + chunkBytes + prefixBytes;
        if (error != null || nothing) {
            endedInline = false;
            connection.ended(request, error != null ? error : silent());
            return;
        }
        finishChunk();
        if (remaining == 0) {
            endedInline = false;
            connection.ended(request, null);
        } else if (submitting) {
            endedInline = true;
        } else {
            describe();
        }
    }

    private BlockError silent() {
        return BlockError.of(
                ErrorKind.IO,
                contexts.source(context).name(),
                "extents",
                request.offset,
                request.length,
                "the device describes nothing");
    }

    private void finishChunk() {
        MemorySegment to = request.buffer().segment();
        int payload = used - chunkAt - chunkBytes;
        TransmissionLayout.putChunk(
                to,
                chunkAt,
                extended,
                remaining == 0 ? Nbd.REPLY_FLAG_DONE : 0,
                extended ? Nbd.CHUNK_BLOCK_STATUS_EXT : Nbd.CHUNK_BLOCK_STATUS,
                request.cookie,
                request.offset,
                payload);
        int at = chunkAt + chunkBytes;
        to.set(TransmissionLayout.INT, at, contexts.id(context));
        if (extended) {
            to.set(TransmissionLayout.INT, at + 4, (payload - prefixBytes) / extentBytes);
        }
    }

    @Override
    public void extent(long from, long extentLength, int state) {
        long status = Integer.toUnsignedLong(contexts.statusOf(context, state));
        boolean first = used == chunkAt + chunkBytes + prefixBytes;
        boolean same = !first && status == lastStatus;
        boolean full = !same && used + extentBytes > limit;
        if (from != expected || full) {
            // A gap, or no more room: what follows is left to the client's next question.
            expected = -1;
            return;
        }
        long within = Math.min(extentLength, request.offset + request.length - from);
        if (within <= 0) {
            return;
        }
        expected = from + within;
        MemorySegment to = request.buffer().segment();
        int at = same ? used - extentBytes : used;
        if (extended) {
            long before = same ? to.get(TransmissionLayout.LONG, at) : 0;
            to.set(TransmissionLayout.LONG, at, before + within);
            to.set(TransmissionLayout.LONG, at + 8, status);
        } else {
            int before = same ? to.get(TransmissionLayout.INT, at) : 0;
            to.set(TransmissionLayout.INT, at, before + (int) within);
            to.set(TransmissionLayout.INT, at + 4, (int) status);
        }
        used = at + extentBytes;
        lastStatus = status;
    }
}
