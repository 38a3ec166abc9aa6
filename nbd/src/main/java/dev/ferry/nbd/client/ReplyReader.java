package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.wire.ClientHandshake;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.ReplyStyle;
import dev.ferry.nbd.wire.SessionTerms;
import dev.ferry.nbd.wire.TransmissionLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Makes sense of what a server sends, and trusts none of it: cookies, offsets, lengths and types have to fit a request
 * in flight, or the link breaks. Belongs to its link.
 *
 * <p>Data that is in the input buffer is copied to where it belongs; where much is missing, the rest is received there
 * directly.
 */
final class ReplyReader {
    private static final int DIRECT_BYTES = 16 << 10;

    /** After data that was received directly, so much is received at first: mostly the next header is all we want. */
    private static final int SMALL_RECEIVE_BYTES = 4096;

    private static final int ERROR_PAYLOAD_MAX = 6 + Nbd.STRING_BYTES_MAX + 8;

    private final ClientLink link;
    private final IoBuffer input;
    private final MemorySegment in;
    private final ReplyStyle style;
    private final int[] contextIds;
    private final boolean[] allocation;
    private final int extentBytes;
    private final long sizeBytes;
    private int readAt;
    private int writeAt;
    private int roomMax;

    // ---- the reply that is under way
    private @Nullable ClientRequest current;
    private boolean last;
    private long dataAddress;
    private int dataAt;
    private int dataLeft;
    private long statusLeft;
    private boolean statusWanted;
    private boolean statusIsAllocation;

    /** @param contextIds the numbers of the contexts that requests name by their places */
    ReplyReader(ClientLink link, IoBuffer input, SessionTerms terms, int[] contextIds) {
        this.link = link;
        this.input = input;
        this.in = input.segment();
        this.style = terms.replies();
        this.contextIds = contextIds;
        this.allocation = new boolean[contextIds.length];
        SessionTerms.Context base = terms.context(Nbd.BASE_ALLOCATION);
        for (int i = 0; i < contextIds.length; i++) {
            allocation[i] = base != null && contextIds[i] == base.id();
        }
        this.extentBytes = style.extended() ? 16 : 8;
        this.sizeBytes = terms.export().sizeBytes();
        this.roomMax = input.capacity();
    }

    int contextId(int context) {
        return contextIds[context];
    }

    // ---- what the link receives

    int roomAt() {
        int left = writeAt - readAt;
        if (readAt > 0) {
            MemorySegment.copy(in, readAt, in, 0, left);
            readAt = 0;
            writeAt = left;
        }
        return writeAt;
    }

    /** To be asked after {@link #roomAt}. */
    int room() {
        return Math.min(input.capacity() - writeAt, roomMax);
    }

    void received(int bytes) {
        writeAt += bytes;
        roomMax = input.capacity();
    }

    boolean wantsDirect() {
        return dataLeft >= DIRECT_BYTES;
    }

    long directAddress() {
        return dataAddress;
    }

    int directBytes() {
        return dataLeft;
    }

    void receivedDirectly() {
        dataLeft = 0;
        roomMax = SMALL_RECEIVE_BYTES;
        dataDone();
    }

    // ---- what it means

    /** Goes as far as the bytes reach. */
    void parse() {
        while (takeData() && takeStatus() && takeHeader()) {
            // Each of them says whether there is more to be made of what has come.
        }
    }

    private boolean nonsense(String what) {
        link.breakOff("the server's reply makes no sense: " + what);
        return false;
    }

    private boolean takeHeader() {
        int present = writeAt - readAt;
        if (present < TransmissionLayout.SIMPLE_REPLY_BYTES) {
            return false;
        }
        int magic = in.get(TransmissionLayout.INT, readAt);
        if (magic == Nbd.SIMPLE_REPLY_MAGIC && !style.extended()) {
            return takeSimple();
        }
        if (magic == Nbd.STRUCTURED_REPLY_MAGIC && style == ReplyStyle.SIMPLE) {
            return nonsense("a structured reply that was not negotiated");
        }
        if (magic != (style.extended() ? Nbd.EXTENDED_REPLY_MAGIC : Nbd.STRUCTURED_REPLY_MAGIC)) {
            return nonsense("no magic number of a reply that was negotiated");
        }
        return present >= style.chunkBytes() && takeChunk(present - style.chunkBytes());
    }

    private boolean takeSimple() {
        int error = in.get(TransmissionLayout.INT, readAt + TransmissionLayout.SIMPLE_ERROR);
        ClientRequest request = link.find(in.get(TransmissionLayout.LONG, readAt + TransmissionLayout.SIMPLE_COOKIE));
        readAt += TransmissionLayout.SIMPLE_REPLY_BYTES;
        if (request == null) {
            return nonsense("an unknown cookie");
        }
        if (style.chunks() && (request.type == Nbd.CMD_READ || request.type == Nbd.CMD_BLOCK_STATUS)) {
            return nonsense("a simple reply to a request that needs a structured one");
        }
        if (error != 0) {
            link.answered(request, error(request, error, ""));
        } else if (request.type == Nbd.CMD_READ) {
            request.coverage.add(request.offset, request.length);
            last = true;
            beginData(request, request.offset, (int) request.length);
        } else {
            link.answered(request, null);
        }
        return true;
    }

    private boolean takeChunk(int present) {
        int flags = in.get(TransmissionLayout.SHORT, readAt + TransmissionLayout.CHUNK_FLAGS);
        int type = in.get(TransmissionLayout.SHORT, readAt + TransmissionLayout.CHUNK_TYPE) & 0xffff;
        ClientRequest request = link.find(in.get(TransmissionLayout.LONG, readAt + TransmissionLayout.CHUNK_COOKIE));
        long length = style.extended()
                ? in.get(TransmissionLayout.LONG, readAt + TransmissionLayout.EXTENDED_CHUNK_LENGTH)
                : Integer.toUnsignedLong(in.get(TransmissionLayout.INT, readAt + TransmissionLayout.CHUNK_LENGTH));
        int at = readAt + style.chunkBytes();
        boolean done = (flags & Nbd.REPLY_FLAG_DONE) != 0;
        if (request == null) {
            return nonsense("an unknown cookie");
        }
        if (style.extended()
                && in.get(TransmissionLayout.LONG, readAt + TransmissionLayout.EXTENDED_CHUNK_OFFSET)
                        != request.offset) {
            return nonsense("a reply to a request at another offset");
        }
        if (length < 0 || length > Integer.MAX_VALUE) {
            return nonsense("a chunk of " + Long.toUnsignedString(length) + " bytes");
        }
        if ((type & Nbd.CHUNK_ERROR_BIT) != 0) {
            return takeError(request, type, at, length, present, done);
        }
        return switch (type) {
            case Nbd.CHUNK_NONE -> takeNone(request, at, length, done);
            case Nbd.CHUNK_OFFSET_DATA -> takeDataHeader(request, at, length, present, done);
            case Nbd.CHUNK_OFFSET_HOLE -> takeHole(request, at, length, present, done);
            case Nbd.CHUNK_BLOCK_STATUS, Nbd.CHUNK_BLOCK_STATUS_EXT ->
                takeStatusHeader(request, type, at, length, present, done);
            default -> nonsense("a chunk of type " + type);
        };
    }

    private boolean takeNone(ClientRequest request, int at, long length, boolean done) {
        if (length != 0 || !done) {
            return nonsense("a last chunk that is not one");
        }
        readAt = at;
        return chunkDone(request, true);
    }

    private boolean takeDataHeader(ClientRequest request, int at, long length, int present, boolean done) {
        if (request.type != Nbd.CMD_READ || length < 9 || length - 8 > request.length) {
            return nonsense("data of a length that was not asked for");
        }
        if (present < 8) {
            return false;
        }
        long offset = in.get(TransmissionLayout.LONG, at);
        readAt = at + 8;
        if (!covers(request, offset, length - 8)) {
            return false;
        }
        last = done;
        beginData(request, offset, (int) length - 8);
        return true;
    }

    private boolean takeHole(ClientRequest request, int at, long length, int present, boolean done) {
        if (request.type != Nbd.CMD_READ || length != 12) {
            return nonsense("a hole that was not asked for");
        }
        if (present < 12) {
            return false;
        }
        long offset = in.get(TransmissionLayout.LONG, at);
        long hole = Integer.toUnsignedLong(in.get(TransmissionLayout.INT, at + 8));
        readAt = at + 12;
        if (!covers(request, offset, hole)) {
            return false;
        }
        request.buffer().zero(request.at + (int) (offset - request.offset), (int) hole);
        return chunkDone(request, done);
    }

    private boolean takeStatusHeader(ClientRequest request, int type, int at, long length, int present, boolean done) {
        int prefixBytes = style.extended() ? 8 : 4;
        int expected = style.extended() ? Nbd.CHUNK_BLOCK_STATUS_EXT : Nbd.CHUNK_BLOCK_STATUS;
        long extents = length - prefixBytes;
        if (request.type != Nbd.CMD_BLOCK_STATUS
                || type != expected
                || extents < extentBytes
                || extents % extentBytes != 0) {
            return nonsense("a block status that was not asked for");
        }
        if (present < prefixBytes) {
            return false;
        }
        if (style.extended()
                && Integer.toUnsignedLong(in.get(TransmissionLayout.INT, at + 4)) != extents / extentBytes) {
            return nonsense("a block status that miscounts its extents");
        }
        int context = placeOf(in.get(TransmissionLayout.INT, at));
        if (context < 0 || (request.contextsSeen & 1L << context) != 0) {
            return nonsense("a block status of another context");
        }
        readAt = at + prefixBytes;
        request.contextsSeen |= 1L << context;
        statusWanted = context == request.context;
        statusIsAllocation = allocation[context];
        current = request;
        statusLeft = extents;
        last = done;
        return true;
    }

    private int placeOf(int contextId) {
        for (int i = 0; i < contextIds.length; i++) {
            if (contextIds[i] == contextId) {
                return i;
            }
        }
        return -1;
    }

    private boolean covers(ClientRequest request, long offset, long length) {
        boolean inside = length > 0
                && offset >= request.offset
                && length <= request.length
                && offset - request.offset <= request.length - length;
        if (!inside || !request.coverage.add(offset, length)) {
            return nonsense("data at an offset that was not asked for");
        }
        return true;
    }

    private boolean takeError(ClientRequest request, int type, int at, long length, int present, boolean done) {
        if (length < 6 || length > ERROR_PAYLOAD_MAX) {
            return nonsense("an error of " + length + " bytes");
        }
        if (present < length) {
            return false;
        }
        int error = in.get(TransmissionLayout.INT, at);
        int textBytes = in.get(TransmissionLayout.SHORT, at + 4) & 0xffff;
        int behind = type == Nbd.CHUNK_ERROR_OFFSET ? 14 : 6;
        if (error == 0 || textBytes > length - behind) {
            return nonsense("a malformed error");
        }
        byte[] text = new byte[textBytes];
        MemorySegment.copy(in, ValueLayout.JAVA_BYTE, at + 6L, text, 0, textBytes);
        readAt = at + (int) length;
        if (request.error == null) {
            request.error = error(request, error, new String(text, StandardCharsets.UTF_8));
        }
        return chunkDone(request, done);
    }

    private BlockError error(ClientRequest request, int error, String text) {
        ErrorKind kind = Nbd.kindOf(error);
        String detail = text.isBlank() ? Nbd.textOf(error) : ClientHandshake.printable(text);
        return link.errorOf(request, kind, detail);
    }

    // ---- data

    private void beginData(ClientRequest request, long offset, int length) {
        current = request;
        dataAt = request.at + (int) (offset - request.offset);
        dataAddress = request.buffer().address() + dataAt;
        dataLeft = length;
        if (length == 0) {
            dataDone();
        }
    }

    /** True when no data is missing. */
    private boolean takeData() {
        if (dataLeft == 0) {
            return true;
        }
        ClientRequest request = Objects.requireNonNull(current);
        int taken = Math.min(dataLeft, writeAt - readAt);
        MemorySegment.copy(in, readAt, request.buffer().segment(), dataAt, taken);
        readAt += taken;
        dataAt += taken;
        dataAddress += taken;
        dataLeft -= taken;
        if (dataLeft > 0) {
            return false;
        }
        dataDone();
        return true;
    }

    private void dataDone() {
        ClientRequest request = Objects.requireNonNull(current);
        current = null;
        chunkDone(request, last);
    }

    private boolean chunkDone(ClientRequest request, boolean done) {
        if (!done) {
            return true;
        }
        if (request.error == null) {
            boolean missing = (request.type == Nbd.CMD_READ && request.coverage.coveredBytes() != request.length)
                    || (request.type == Nbd.CMD_BLOCK_STATUS && (request.contextsSeen & 1L << request.context) == 0);
            if (missing) {
                return nonsense("success, with a part missing");
            }
        }
        link.answered(request, request.error);
        return true;
    }

    // ---- block status

    /** True when no extent is missing. */
    private boolean takeStatus() {
        while (statusLeft > 0) {
            if (writeAt - readAt < extentBytes) {
                return false;
            }
            boolean wide = style.extended();
            long length = wide
                    ? in.get(TransmissionLayout.LONG, readAt)
                    : Integer.toUnsignedLong(in.get(TransmissionLayout.INT, readAt));
            int state = in.get(TransmissionLayout.INT, readAt + (wide ? 12 : 4));
            readAt += extentBytes;
            statusLeft -= extentBytes;
            ClientRequest request = Objects.requireNonNull(current);
            if (statusWanted && !takeExtent(request, length, state)) {
                return false;
            }
            if (statusLeft == 0) {
                current = null;
                chunkDone(request, last);
            }
        }
        return true;
    }

    private boolean takeExtent(ClientRequest request, long length, int state) {
        long end = request.offset + request.length;
        if (length <= 0 || request.statusNext >= end || length > sizeBytes - request.statusNext) {
            return nonsense("an extent outside of what was asked for");
        }
        long within = Math.min(length, end - request.statusNext);
        ExtentSink sink = Objects.requireNonNull(request.sink);
        sink.extent(
                request.statusNext, within, statusIsAllocation ? state & (ExtentSink.HOLE | ExtentSink.ZERO) : state);
        request.statusNext += length;
        return true;
    }
}
