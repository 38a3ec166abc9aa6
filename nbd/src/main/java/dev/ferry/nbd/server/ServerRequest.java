package dev.ferry.nbd.server;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.wire.Nbd;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** One request of a client, from its header to its reply; pooled by its connection, on whose thread it lives. */
final class ServerRequest implements Completion {
    /** Of a longer range only the beginning is read: nobody gains by having all of a disk pass through memory. */
    private static final long CACHE_BYTES_MAX = 4L << 30;

    private final Connection connection;
    int type;
    int flags;
    long cookie;
    long offset;
    long length;
    long startNanos;

    /** Of BLOCK_STATUS: the contexts that are asked for, as a set of {@link SelectedContexts}. */
    long contexts;

    /** What it counts for in its connection's bytes in flight. */
    int chargedBytes;

    @Nullable
    IoBuffer buffer;

    @Nullable
    ServerRequest next;

    private @Nullable StatusAnswer status;

    // ---- of CACHE
    private long cacheAt;
    private long cacheEnd;
    private boolean submitting;
    private boolean endedInline;

    ServerRequest(Connection connection) {
        this.connection = connection;
    }

    IoBuffer buffer() {
        return Objects.requireNonNull(buffer);
    }

    void releaseBuffer() {
        IoBuffer held = buffer;
        if (held != null) {
            buffer = null;
            held.release();
        }
    }

    /** The answer to this request as a BLOCK_STATUS. */
    StatusAnswer status() {
        StatusAnswer answer = status;
        if (answer == null) {
            answer = new StatusAnswer(connection, this);
            status = answer;
        }
        return answer;
    }

    @Override
    public void complete(@Nullable BlockError error) {
        if (type == Nbd.CMD_CACHE && error == null && cacheAt < cacheEnd) {
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
        cacheEnd = offset + Math.min(length, CACHE_BYTES_MAX);
        readAhead();
    }

    private void readAhead() {
        do {
            IoBuffer into = buffer();
            int most = Math.min(into.capacity(), connection.transferMax());
            int piece = (int) Math.min(most, cacheEnd - cacheAt);
            long from = cacheAt;
            cacheAt += piece;
            submitting = true;
            endedInline = false;
            connection.device().read(from, into, 0, piece, this);
            submitting = false;
        } while (endedInline);
    }
}
