package dev.ferry.nbd.server;

import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.transport.Transport;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.ReplyStyle;
import dev.ferry.nbd.wire.TransmissionLayout;
import dev.ferry.reactor.IoOperation;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Requests as they come from the socket: their headers, one after the other, and their payloads. Belongs to its
 * connection, which asks for the next header, and passes over it when it has decided what becomes of the request.
 *
 * <p>A short payload is at hand together with its header: another receive brings the rest of it along with the requests
 * behind it. The rest of a long one is received where it belongs.
 */
final class RequestStream {
    /** A payload up to this size is waited for before its request is looked at. */
    private static final int WHOLE_PAYLOAD_BYTES = 32 << 10;

    /** After a long payload, so much is received at first, so that little of the next one has to be copied. */
    private static final int SMALL_RECEIVE_BYTES = 4096;

    private final Connection connection;
    private final Transport transport;
    private final boolean extended;
    private final int headerBytes;
    private final IoBuffer input;
    private final MemorySegment in;
    private final Receiving receiving = new Receiving();
    private final Payload payload = new Payload();
    private int readAt;
    private int writeAt;
    private int receiveMax;
    private long skip;

    // ---- the header that is next, after next() has said that there is one
    int type;
    int flags;
    long cookie;

    /** As it came: above 2^63 it is negative here. */
    long offset;

    /** As it came, as {@link #offset}: of the payload or of the effect. */
    long length;

    RequestStream(Connection connection, Transport transport, ReplyStyle style, IoBuffer input) {
        this.connection = connection;
        this.transport = transport;
        this.extended = style.extended();
        this.headerBytes = style.requestBytes();
        this.input = input;
        this.in = input.segment();
        this.receiveMax = input.capacity();
    }

    /** Takes bytes that came behind the handshake. */
    void begin(byte[] early) {
        MemorySegment.copy(early, 0, in, ValueLayout.JAVA_BYTE, 0, early.length);
        writeAt = early.length;
    }

    // ---- receiving

    /** True while the loop owes an answer. */
    boolean inFlight() {
        return receiving.inFlight() || payload.inFlight();
    }

    void cancel() {
        transport.cancel(receiving);
        transport.cancel(payload);
    }

    void receive() {
        if (inFlight()) {
            return;
        }
        int left = writeAt - readAt;
        if (readAt > 0) {
            MemorySegment.copy(in, readAt, in, 0, left);
            readAt = 0;
            writeAt = left;
        }
        int room = Math.min(input.capacity() - writeAt, receiveMax);
        transport.receive(input.address() + writeAt, room, receiving);
    }

    private final class Receiving extends IoOperation {
        @Override
        protected void completed(int result) {
            if (result > 0) {
                writeAt += result;
                receiveMax = input.capacity();
            }
            connection.received(result);
        }
    }

    /** The part of a payload that was not in the receive buffer. */
    private final class Payload extends IoOperation {
        private @Nullable ServerRequest request;
        private int missing;

        void begin(ServerRequest write, int present) {
            request = write;
            missing = (int) write.length - present;
            receiveMax = SMALL_RECEIVE_BYTES;
            transport.receiveFully(write.buffer().address() + present, missing, this);
        }

        @Override
        protected void completed(int result) {
            ServerRequest write = Objects.requireNonNull(request);
            request = null;
            connection.payloadReceived(write, result == missing);
        }
    }

    // ---- headers

    /** Looks at the next header; false if there is none yet, or if what comes makes no sense. */
    boolean next() {
        if (payload.inFlight() || !passOver() || writeAt - readAt < headerBytes) {
            return false;
        }
        int at = readAt;
        if (in.get(TransmissionLayout.INT, at) != (extended ? Nbd.EXTENDED_REQUEST_MAGIC : Nbd.REQUEST_MAGIC)) {
            connection.breakOff();
            return false;
        }
        flags = in.get(TransmissionLayout.SHORT, at + TransmissionLayout.REQUEST_FLAGS) & 0xffff;
        type = in.get(TransmissionLayout.SHORT, at + TransmissionLayout.REQUEST_TYPE) & 0xffff;
        cookie = in.get(TransmissionLayout.LONG, at + TransmissionLayout.REQUEST_COOKIE);
        offset = in.get(TransmissionLayout.LONG, at + TransmissionLayout.REQUEST_OFFSET);
        length = extended
                ? in.get(TransmissionLayout.LONG, at + TransmissionLayout.REQUEST_LENGTH)
                : Integer.toUnsignedLong(in.get(TransmissionLayout.INT, at + TransmissionLayout.REQUEST_LENGTH));
        return true;
    }

    /** Bytes that come behind the header; as {@link #length}. */
    long payloadBytes() {
        boolean carries = extended ? (flags & Nbd.CMD_FLAG_PAYLOAD_LEN) != 0 : type == Nbd.CMD_WRITE;
        return carries ? length : 0;
    }

    /** False if a payload is short enough to be waited for, and not there yet. */
    boolean payloadAtHand() {
        long bytes = payloadBytes();
        return bytes > WHOLE_PAYLOAD_BYTES || writeAt - readAt - headerBytes >= bytes;
    }

    /** Bytes of a payload that is at hand: 4 of them, from {@code at} on. */
    int payloadInt(int at) {
        return in.get(TransmissionLayout.INT, readAt + headerBytes + at);
    }

    /** As {@link #payloadInt}, 8 of them. */
    long payloadLong(int at) {
        return in.get(TransmissionLayout.LONG, readAt + headerBytes + at);
    }

    /** Passes over the header. */
    void accept() {
        readAt += headerBytes;
    }

    /** Passes over a payload that is at hand. */
    void discard(int bytes) {
        readAt += bytes;
    }

    /** Has the payload that comes next passed over; the connection is told when it has come whole. */
    void skip(long bytes) {
        skip = bytes;
    }

    /** True if nothing is left to be passed over. */
    private boolean passOver() {
        if (skip == 0) {
            return true;
        }
        int taken = (int) Math.min(skip, writeAt - readAt);
        skip -= taken;
        readAt += taken;
        if (skip > 0) {
            return false;
        }
        connection.payloadPassedOver();
        return true;
    }

    /** Takes a write's data; false if the connection will be told later that it has come. */
    boolean takePayload(ServerRequest request) {
        int present = (int) Math.min(request.length, writeAt - readAt);
        MemorySegment.copy(in, readAt, request.buffer().segment(), 0, present);
        readAt += present;
        if (present == request.length) {
            return true;
        }
        payload.begin(request, present);
        return false;
    }
}
