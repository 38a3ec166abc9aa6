package dev.ferry.nbd.server;

import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.transport.Outbox;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.ReplyStyle;
import dev.ferry.nbd.wire.TransmissionLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/**
 * Writes replies: short ones into the outbox, one after the other; the header of one with data into the room in front
 * of the data, so that both leave in one piece.
 *
 * <p>Where replies come in chunks, zeroes are not sent: a range of a read that is all zero is described as a hole. That
 * costs a look at two bytes of a piece of data, and saves the socket the zeroes.
 */
final class ReplyWriter {
    /** No reply without data is longer, unless it has a text. */
    static final int SMALL_REPLY_BYTES = 48;

    private static final int TEXT_BYTES_MAX = 200;

    /** Zeroes are looked for in pieces of this size. */
    private static final int HOLE_GRAIN_BYTES = 16 << 10;

    /** A shorter read is not looked at. */
    private static final int SPARSE_BYTES_MIN = 4096;

    private static final int RUNS_MAX = 16;

    private final Outbox outbox;
    private final MemorySegment small;
    private final boolean chunks;
    private final boolean extended;
    private final int chunkBytes;
    private final int[] runEnds = new int[RUNS_MAX];
    private boolean firstRunIsZero;

    ReplyWriter(Outbox outbox, ReplyStyle style) {
        this.outbox = outbox;
        this.small = outbox.memory();
        this.chunks = style.chunks();
        this.extended = style.extended();
        this.chunkBytes = style.chunkBytes();
    }

    /** Anything that has no data to return has been done: a simple reply wherever there are such. */
    void done(ServerRequest request) {
        if (extended) {
            none(request);
        } else {
            TransmissionLayout.putSimpleReply(
                    small, outbox.take(TransmissionLayout.SIMPLE_REPLY_BYTES), 0, request.cookie);
        }
    }

    private void none(ServerRequest request) {
        long at = outbox.take(chunkBytes);
        put(small, at, Nbd.REPLY_FLAG_DONE, Nbd.CHUNK_NONE, request, 0);
    }

    private void put(MemorySegment to, long at, int flags, int type, ServerRequest request, int payloadBytes) {
        TransmissionLayout.putChunk(to, at, extended, flags, type, request.cookie, request.offset, payloadBytes);
    }

    /**
     * @param spareBytes what this reply may take of the outbox beyond the claims of others; may be below zero
     * @param spareVectors the same in pieces
     */
    void read(ServerRequest request, int spareBytes, int spareVectors) {
        int length = (int) request.length;
        if (!chunks) {
            simpleRead(request, length);
            return;
        }
        if (length == 0) {
            none(request);
            return;
        }
        int runs = length < SPARSE_BYTES_MIN ? 1 : cut(request.buffer(), length);
        boolean oneChunk = (request.flags & Nbd.CMD_FLAG_DF) != 0
                || spareBytes < RUNS_MAX * SMALL_REPLY_BYTES
                || spareVectors < 2 * RUNS_MAX;
        if (runs == 1 && length >= SPARSE_BYTES_MIN && firstRunIsZero) {
            hole(request, 0, length, Nbd.REPLY_FLAG_DONE);
            request.releaseBuffer();
        } else if (runs == 1 || oneChunk) {
            leadingData(request, length, Nbd.REPLY_FLAG_DONE);
        } else {
            runs(request, runs);
        }
    }

    private void simpleRead(ServerRequest request, int length) {
        if (length == 0) {
            done(request);
            return;
        }
        IoBuffer data = request.buffer();
        int headerBytes = TransmissionLayout.SIMPLE_REPLY_BYTES;
        TransmissionLayout.putSimpleReply(data.headroom(), IoBuffer.HEADROOM - headerBytes, 0, request.cookie);
        outbox.append(data.address() - headerBytes, headerBytes + length);
    }

    /** Cuts data into runs that are zero and runs that are not, in turn; the last of many takes all the rest as data. */
    private int cut(IoBuffer data, int length) {
        int runs = 1;
        boolean zero = data.isZero(0, Math.min(HOLE_GRAIN_BYTES, length));
        firstRunIsZero = zero;
        for (int at = HOLE_GRAIN_BYTES; at < length; at += HOLE_GRAIN_BYTES) {
            boolean mayTurn = zero || runs < RUNS_MAX - 1;
            if (mayTurn && data.isZero(at, Math.min(HOLE_GRAIN_BYTES, length - at)) != zero) {
                runEnds[runs - 1] = at;
                runs++;
                zero = !zero;
            }
        }
        runEnds[runs - 1] = length;
        return runs;
    }

    private void runs(ServerRequest request, int runs) {
        IoBuffer data = request.buffer();
        boolean zero = firstRunIsZero;
        int from = 0;
        for (int i = 0; i < runs; i++) {
            int length = runEnds[i] - from;
            int flags = i == runs - 1 ? Nbd.REPLY_FLAG_DONE : 0;
            if (zero) {
                hole(request, from, length, flags);
            } else if (from == 0) {
                leadingData(request, length, flags);
            } else {
                long at = outbox.take(chunkBytes + 8);
                put(small, at, flags, Nbd.CHUNK_OFFSET_DATA, request, 8 + length);
                small.set(TransmissionLayout.LONG, at + chunkBytes, request.offset + from);
                outbox.append(data.address() + from, length);
            }
            zero = !zero;
            from = runEnds[i];
        }
    }

    private void leadingData(ServerRequest request, int length, int flags) {
        IoBuffer data = request.buffer();
        int headerBytes = chunkBytes + 8;
        int at = IoBuffer.HEADROOM - headerBytes;
        put(data.headroom(), at, flags, Nbd.CHUNK_OFFSET_DATA, request, 8 + length);
        data.headroom().set(TransmissionLayout.LONG, at + chunkBytes, request.offset);
        outbox.append(data.address() - headerBytes, headerBytes + length);
    }

    private void hole(ServerRequest request, int from, int length, int flags) {
        long at = outbox.take(chunkBytes + TransmissionLayout.HOLE_BYTES);
        put(small, at, flags, Nbd.CHUNK_OFFSET_HOLE, request, TransmissionLayout.HOLE_BYTES);
        small.set(TransmissionLayout.LONG, at + chunkBytes, request.offset + from);
        small.set(TransmissionLayout.INT, at + chunkBytes + 8, length);
    }

    /** Chunks that lie in the request's buffer already. */
    void status(ServerRequest request, int bytes) {
        outbox.append(request.buffer().address(), bytes);
    }

    /** @param spareBytes what a text may take of the outbox, beyond the reply itself; may be below zero */
    void error(ServerRequest request, int error, String text, int spareBytes) {
        if (!chunks) {
            TransmissionLayout.putSimpleReply(
                    small, outbox.take(TransmissionLayout.SIMPLE_REPLY_BYTES), error, request.cookie);
            return;
        }
        byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
        int textBytes = encoded.length <= Math.min(TEXT_BYTES_MAX, spareBytes) ? encoded.length : 0;
        int fixedBytes = chunkBytes + TransmissionLayout.ERROR_BYTES;
        long at = outbox.take(fixedBytes + textBytes);
        put(small, at, Nbd.REPLY_FLAG_DONE, Nbd.CHUNK_ERROR, request, TransmissionLayout.ERROR_BYTES + textBytes);
        small.set(TransmissionLayout.INT, at + chunkBytes, error);
        small.set(TransmissionLayout.SHORT, at + chunkBytes + 4, (short) textBytes);
        MemorySegment.copy(encoded, 0, small, ValueLayout.JAVA_BYTE, at + fixedBytes, textBytes);
    }
}
