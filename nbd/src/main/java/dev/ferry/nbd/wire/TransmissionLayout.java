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
 * </pre>
 *
 * <p>Specification: sections "Request message", "Simple reply message" and "Structured reply chunk message".
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

    public static final int SIMPLE_REPLY_BYTES = 16;
    public static final int SIMPLE_ERROR = 4;
    public static final int SIMPLE_COOKIE = 8;

    public static final int CHUNK_BYTES = 20;
    public static final int CHUNK_FLAGS = 4;
    public static final int CHUNK_TYPE = 6;
    public static final int CHUNK_COOKIE = 8;
    public static final int CHUNK_LENGTH = 16;

    /** A chunk's header and the offset that begins OFFSET_DATA and OFFSET_HOLE. */
    public static final int DATA_CHUNK_BYTES = CHUNK_BYTES + 8;

    /** A chunk's header and the fixed part of ERROR. */
    public static final int ERROR_CHUNK_BYTES = CHUNK_BYTES + 6;

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

    /** The header of a chunk that is the last of its reply. */
    public static void putLastChunk(MemorySegment to, long at, int type, long cookie, int payloadBytes) {
        to.set(INT, at, Nbd.STRUCTURED_REPLY_MAGIC);
        to.set(SHORT, at + CHUNK_FLAGS, (short) Nbd.REPLY_FLAG_DONE);
        to.set(SHORT, at + CHUNK_TYPE, (short) type);
        to.set(LONG, at + CHUNK_COOKIE, cookie);
        to.set(INT, at + CHUNK_LENGTH, payloadBytes);
    }

    /** The header and the offset of the one chunk of data that answers a read. */
    public static void putDataChunk(MemorySegment to, long at, long cookie, long offset, int dataBytes) {
        putLastChunk(to, at, Nbd.CHUNK_OFFSET_DATA, cookie, 8 + dataBytes);
        to.set(LONG, at + CHUNK_BYTES, offset);
    }

    /** An ERROR chunk up to its text. */
    public static void putErrorChunk(MemorySegment to, long at, long cookie, int error, int textBytes) {
        putLastChunk(to, at, Nbd.CHUNK_ERROR, cookie, 6 + textBytes);
        to.set(INT, at + CHUNK_BYTES, error);
        to.set(SHORT, at + CHUNK_BYTES + 4, (short) textBytes);
    }
}
