package dev.ferry.nbd.wire;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Where the fields of the transmission phase are. All are big-endian and unsigned.
 *
 * <pre>
 * request          0      4      6     8               16              24       28
 *                  │magic │flags │type │cookie         │offset         │length  │ payload of WRITE
 *
 * simple reply     0      4      8               16
 *                  │magic │error │cookie         │ data of READ
 *
 * reply chunk      0      4      6     8               16      20
 *                  │magic │flags │type │cookie         │length │ payload:
 *    OFFSET_DATA                                               │offset (8) │ data
 *    OFFSET_HOLE                                               │offset (8) │ length (4)
 *    BLOCK_STATUS                                              │context (4)│ { length (4) │ status (4) } …
 *    ERROR                                                     │error (4)  │ text length (2) │ text
 *    ERROR_OFFSET                                              │error (4)  │ text length (2) │ text │ offset (8)
 *
 * with extended headers, for every request and every chunk of a reply:
 *
 * request          0      4      6     8               16              24              32
 *                  │magic │flags │type │cookie         │offset         │length         │ payload, if PAYLOAD_LEN is set
 *    BLOCK_STATUS                                                                      │length (8) │ { context (4) } …
 *
 * reply chunk      0      4      6     8               16              24              32
 *                  │magic │flags │type │cookie         │request offset │payload length │ payload:
 *    BLOCK_STATUS_EXT                           │context (4)│count (4) │ { length (8) │ status (8) } …
 *    others                                     │ as above
 * </pre>
 *
 * <p>Specification: sections "Request message", "Simple reply message", "Structured reply chunk message" and "Extended
 * reply chunk message".
 */
public final class TransmissionLayout {
    public static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    public static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    public static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    public static final int REQUEST_BYTES = 28;
    public static final int REQUEST_FLAGS = 4;
    public static final int REQUEST_TYPE = 6;
    public static final int REQUEST_COOKIE = 8;
    public static final int REQUEST_OFFSET = 16;
    public static final int REQUEST_LENGTH = 24;

    public static final int EXTENDED_REQUEST_BYTES = 32;

    public static final int SIMPLE_REPLY_BYTES = 16;
    public static final int SIMPLE_ERROR = 4;
    public static final int SIMPLE_COOKIE = 8;

    public static final int CHUNK_BYTES = 20;
    public static final int CHUNK_FLAGS = 4;
    public static final int CHUNK_TYPE = 6;
    public static final int CHUNK_COOKIE = 8;
    public static final int CHUNK_LENGTH = 16;

    public static final int EXTENDED_CHUNK_BYTES = 32;
    public static final int EXTENDED_CHUNK_OFFSET = 16;
    public static final int EXTENDED_CHUNK_LENGTH = 24;

    /** The payload of OFFSET_HOLE. */
    public static final int HOLE_BYTES = 12;

    /** The fixed part of the payload of ERROR. */
    public static final int ERROR_BYTES = 6;

    private TransmissionLayout() {}

    public static void putRequest(
            MemorySegment to, long at, int flags, int type, long cookie, long offset, int length) {
        to.set(INT, at, Nbd.REQUEST_MAGIC);
        to.set(SHORT, at + REQUEST_FLAGS, (short) flags);
        to.set(SHORT, at + REQUEST_TYPE, (short) type);
        to.set(LONG, at + REQUEST_COOKIE, cookie);
        to.set(LONG, at + REQUEST_OFFSET, offset);
        to.set(INT, at + REQUEST_LENGTH, length);
    }

    public static void putSimpleReply(MemorySegment to, long at, int error, long cookie) {
        to.set(INT, at, Nbd.SIMPLE_REPLY_MAGIC);
        to.set(INT, at + SIMPLE_ERROR, error);
        to.set(LONG, at + SIMPLE_COOKIE, cookie);
    }

    public static void putExtendedRequest(
            MemorySegment to, long at, int flags, int type, long cookie, long offset, long length) {
        to.set(INT, at, Nbd.EXTENDED_REQUEST_MAGIC);
        to.set(SHORT, at + REQUEST_FLAGS, (short) flags);
        to.set(SHORT, at + REQUEST_TYPE, (short) type);
        to.set(LONG, at + REQUEST_COOKIE, cookie);
        to.set(LONG, at + REQUEST_OFFSET, offset);
        to.set(LONG, at + REQUEST_LENGTH, length);
    }

    /**
     * The header of a chunk.
     *
     * @param extended its form
     * @param offset of the request; means something in the extended form only
     * @param payloadBytes what follows the header
     */
    public static void putChunk(
            MemorySegment to,
            long at,
            boolean extended,
            int flags,
            int type,
            long cookie,
            long offset,
            int payloadBytes) {
        to.set(INT, at, extended ? Nbd.EXTENDED_REPLY_MAGIC : Nbd.STRUCTURED_REPLY_MAGIC);
        to.set(SHORT, at + CHUNK_FLAGS, (short) flags);
        to.set(SHORT, at + CHUNK_TYPE, (short) type);
        to.set(LONG, at + CHUNK_COOKIE, cookie);
        if (extended) {
            to.set(LONG, at + EXTENDED_CHUNK_OFFSET, offset);
            to.set(LONG, at + EXTENDED_CHUNK_LENGTH, payloadBytes);
        } else {
            to.set(INT, at + CHUNK_LENGTH, payloadBytes);
        }
    }
}
