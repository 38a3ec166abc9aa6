package dev.ferry.nbd.server;

import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.transport.Outbox;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.TransmissionLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/**
 * Writes replies: short ones into the outbox, one after the other; the header of one with data into the room in front
 * of the data, so that both leave in one piece.
 */
final class ReplyWriter {
    /** No reply without data is longer, unless it has a text. */
    static final int SMALL_REPLY_BYTES = 32;

    private static final int TEXT_BYTES_MAX = 200;

    private final Outbox outbox;
    private final MemorySegment small;
    private final boolean structured;

    ReplyWriter(Outbox outbox, boolean structured) {
        this.outbox = outbox;
        this.small = outbox.memory();
        this.structured = structured;
    }

    /** Anything that has no data to return has been done: a simple reply, whatever was negotiated. */
    void done(long cookie) {
        TransmissionLayout.putSimpleReply(small, outbox.take(TransmissionLayout.SIMPLE_REPLY_BYTES), 0, cookie);
    }

    void read(ServerRequest request) {
        int length = (int) request.length;
        if (length == 0) {
            if (structured) {
                long at = outbox.take(TransmissionLayout.CHUNK_BYTES);
                TransmissionLayout.putLastChunk(small, at, Nbd.CHUNK_NONE, request.cookie, 0);
            } else {
                done(request.cookie);
            }
            return;
        }
        IoBuffer data = request.buffer();
        int headerBytes = structured ? TransmissionLayout.DATA_CHUNK_BYTES : TransmissionLayout.SIMPLE_REPLY_BYTES;
        int at = IoBuffer.HEADROOM - headerBytes;
        if (structured) {
            TransmissionLayout.putDataChunk(data.headroom(), at, request.cookie, request.offset, length);
        } else {
            TransmissionLayout.putSimpleReply(data.headroom(), at, 0, request.cookie);
        }
        outbox.append(data.address() - headerBytes, headerBytes + length);
    }

    void status(ServerRequest request) {
        IoBuffer data = request.buffer();
        int headerBytes = TransmissionLayout.CHUNK_BYTES;
        TransmissionLayout.putLastChunk(
                data.headroom(),
                IoBuffer.HEADROOM - headerBytes,
                Nbd.CHUNK_BLOCK_STATUS,
                request.cookie,
                request.statusBytes);
        outbox.append(data.address() - headerBytes, headerBytes + request.statusBytes);
    }

    /** @param spareBytes what a text may take of the outbox, beyond the reply itself; may be below zero */
    void error(ServerRequest request, int error, String text, int spareBytes) {
        if (!structured) {
            TransmissionLayout.putSimpleReply(
                    small, outbox.take(TransmissionLayout.SIMPLE_REPLY_BYTES), error, request.cookie);
            return;
        }
        byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
        int textBytes = encoded.length <= Math.min(TEXT_BYTES_MAX, spareBytes) ? encoded.length : 0;
        long at = outbox.take(TransmissionLayout.ERROR_CHUNK_BYTES + textBytes);
        TransmissionLayout.putErrorChunk(small, at, request.cookie, error, textBytes);
        MemorySegment.copy(
                encoded, 0, small, ValueLayout.JAVA_BYTE, at + TransmissionLayout.ERROR_CHUNK_BYTES, textBytes);
    }
}
