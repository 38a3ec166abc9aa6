package dev.ferry.nbd.server;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.TransmissionLayout;
import org.jspecify.annotations.Nullable;

/** One request of a client, from its header to its reply; pooled by its connection, on whose thread it lives. */
final class ServerRequest implements Completion, ExtentSink {
    /** Room for a context, and for some 8,000 extents. */
    static final int STATUS_BYTES = 64 << 10;

    private static final int EXTENT_BYTES = 8;

    private final Connection connection;
    int type;
    int flags;
    long cookie;
    long offset;
    long length;
    long startNanos;

    /** What it counts for in its connection's bytes in flight. */
    int chargedBytes;

    @Nullable
    IoBuffer buffer;

    @Nullable
    ServerRequest next;

    // ---- of BLOCK_STATUS
    int statusBytes;
    private long statusNext;
    private int lastState;
    private int extentsMax;

    // ---- of CACHE
    private long cacheAt;
    private boolean submitting;
    private boolean endedInline;

    ServerRequest(Connection connection) {
        this.connection = connection;
    }

    IoBuffer buffer() {
        return java.util.Objects.requireNonNull(buffer);
    }

    void releaseBuffer() {
        IoBuffer held = buffer;
        if (held != null) {
            buffer = null;
            held.release();
        }
    }

    @Override
    public void complete(@Nullable BlockError error) {
        if (type == Nbd.CMD_CACHE && error == null && cacheAt < offset + length) {
            if (submitting) {
                endedInline = true;
            } else {
                readAhead();
            }
            return;
        }
        endedInline = false;
        connection.ended(this, error);
    }

    // ---- CACHE: the range is read, piece by piece, and what is read is forgotten

    void beginReadAhead() {
        cacheAt = offset;
        readAhead();
    }

    private void readAhead() {
        do {
            IoBuffer into = buffer();
            int most = Math.min(into.capacity(), connection.transferMax());
            int piece = (int) Math.min(most, offset + length - cacheAt);
            long from = cacheAt;
            cacheAt += piece;
            submitting = true;
            endedInline = false;
            connection.device().read(from, into, 0, piece, this);
            submitting = false;
        } while (endedInline);
    }

    // ---- BLOCK_STATUS: extents are written as they come

    void beginStatus(int context, boolean one) {
        buffer().segment().set(TransmissionLayout.INT, 0, context);
        statusBytes = 4;
        statusNext = offset;
        extentsMax = one ? 1 : (buffer().capacity() - 4) / EXTENT_BYTES;
    }

    @Override
    public void extent(long from, long extentLength, int state) {
        boolean first = statusBytes == 4;
        boolean same = !first && state == lastState;
        boolean full = !same && (statusBytes - 4) / EXTENT_BYTES >= extentsMax;
        if (from != statusNext || full) {
            // A gap, or no more room: what follows is left to the client's next question.
            statusNext = -1;
            return;
        }
        long within = Math.min(extentLength, offset + length - from);
        if (within <= 0) {
            return;
        }
        statusNext = from + within;
        var to = buffer().segment();
        if (same) {
            int at = statusBytes - EXTENT_BYTES;
            to.set(TransmissionLayout.INT, at, to.get(TransmissionLayout.INT, at) + (int) within);
            return;
        }
        to.set(TransmissionLayout.INT, statusBytes, (int) within);
        to.set(TransmissionLayout.INT, statusBytes + 4, state & (ExtentSink.HOLE | ExtentSink.ZERO));
        statusBytes += EXTENT_BYTES;
        lastState = state;
    }
}
