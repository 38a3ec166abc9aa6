package dev.ferry.nbd.server;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.RequestFlags;
import dev.ferry.nbd.wire.ExportFacts;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.SessionTerms;

/**
 * What a client may ask of an export, and what it is told if it may not. Specification: sections "Command flags",
 * "Size constraints" and "Error values".
 */
final class RequestRules {
    /** The payload of a refused write is passed over up to here; a longer one ends the connection. */
    static final long PAYLOAD_DRAINED_MAX = 64 << 20;

    private static final int CACHE_PIECE_BYTES = 256 << 10;

    private final long sizeBytes;
    private final long alignmentMask;
    private final int payloadMax;
    private final int flags;
    private final boolean structured;
    private final boolean extended;
    private final boolean hasContexts;

    RequestRules(SessionTerms terms) {
        ExportFacts facts = terms.export();
        sizeBytes = facts.sizeBytes();
        alignmentMask = facts.minimumBlockBytes() - 1L;
        payloadMax = facts.maximumPayloadBytes();
        flags = facts.transmissionFlags();
        structured = terms.replies().chunks();
        extended = terms.replies().extended();
        hasContexts = !terms.contexts().isEmpty();
    }

    /** The longest read or write. */
    int transferMax() {
        return payloadMax;
    }

    /**
     * The error that a request is to be answered with before it gets any further, or 0.
     *
     * @param offset as it came: above 2^63 it is negative here, and so is the length
     */
    int check(int type, int commandFlags, long offset, long length) {
        int allowed = allowedFlags(type);
        boolean bare = extended && type == Nbd.CMD_WRITE && (commandFlags & Nbd.CMD_FLAG_PAYLOAD_LEN) == 0;
        if (allowed < 0 || (commandFlags & ~allowed) != 0 || bare) {
            return Nbd.EINVAL;
        }
        if (type == Nbd.CMD_FLUSH) {
            return offset == 0 && length == 0 ? 0 : Nbd.EINVAL;
        }
        boolean changes = type == Nbd.CMD_WRITE || type == Nbd.CMD_TRIM || type == Nbd.CMD_WRITE_ZEROES;
        if (changes && (flags & Nbd.FLAG_READ_ONLY) != 0) {
            return Nbd.EPERM;
        }
        if (length < 0) {
            return type == Nbd.CMD_WRITE_ZEROES ? Nbd.ENOSPC : Nbd.EINVAL;
        }
        boolean carries = type == Nbd.CMD_READ || type == Nbd.CMD_WRITE;
        if (carries && length > payloadMax) {
            return type == Nbd.CMD_READ && structured ? Nbd.EOVERFLOW : Nbd.EINVAL;
        }
        if (offset < 0 || offset > sizeBytes || length > sizeBytes - offset) {
            return type == Nbd.CMD_WRITE || type == Nbd.CMD_WRITE_ZEROES ? Nbd.ENOSPC : Nbd.EINVAL;
        }
        if (((offset | length) & alignmentMask) != 0 || (type == Nbd.CMD_BLOCK_STATUS && length == 0)) {
            return Nbd.EINVAL;
        }
        return 0;
    }

    /**
     * Finds out which contexts a BLOCK_STATUS is about, and of what length: all of them, or those in its payload, which is
     * at hand.
     *
     * @return false if the payload makes no sense
     */
    boolean takeContexts(RequestStream stream, SelectedContexts selected, ServerRequest request) {
        request.contexts = selected.all();
        if (!extended || (request.flags & Nbd.CMD_FLAG_PAYLOAD_LEN) == 0) {
            return true;
        }
        long bytes = stream.payloadBytes();
        if (bytes < 12 || bytes > 8 + 4 * Nbd.CONTEXTS_MAX || bytes % 4 != 0) {
            return false;
        }
        request.length = stream.payloadLong(0);
        request.contexts = 0;
        for (int at = 8; at < bytes; at += 4) {
            long context = selected.ofId(stream.payloadInt(at));
            if (context == 0 || (request.contexts & context) != 0) {
                return false;
            }
            request.contexts |= context;
        }
        return true;
    }

    /** The flags that a command may carry; -1 if there is no such command here. FUA is accepted on all. */
    private int allowedFlags(int type) {
        return switch (type) {
            case Nbd.CMD_READ -> structured ? Nbd.CMD_FLAG_FUA | Nbd.CMD_FLAG_DF : Nbd.CMD_FLAG_FUA;
            case Nbd.CMD_WRITE -> Nbd.CMD_FLAG_FUA | payloadFlag();
            case Nbd.CMD_FLUSH, Nbd.CMD_CACHE -> Nbd.CMD_FLAG_FUA;
            case Nbd.CMD_TRIM -> has(Nbd.FLAG_SEND_TRIM) || readOnly() ? Nbd.CMD_FLAG_FUA : -1;
            case Nbd.CMD_WRITE_ZEROES ->
                has(Nbd.FLAG_SEND_WRITE_ZEROES) || readOnly()
                        ? Nbd.CMD_FLAG_FUA | Nbd.CMD_FLAG_NO_HOLE | Nbd.CMD_FLAG_FAST_ZERO
                        : -1;
            case Nbd.CMD_BLOCK_STATUS -> hasContexts ? Nbd.CMD_FLAG_FUA | Nbd.CMD_FLAG_REQ_ONE | payloadFlag() : -1;
            default -> -1;
        };
    }

    private int payloadFlag() {
        return extended ? Nbd.CMD_FLAG_PAYLOAD_LEN : 0;
    }

    private boolean has(int flag) {
        return (flags & flag) != 0;
    }

    private boolean readOnly() {
        return has(Nbd.FLAG_READ_ONLY);
    }

    /** The memory that a request needs while it is in flight. */
    int bufferBytes(int type, long length) {
        return switch (type) {
            case Nbd.CMD_READ, Nbd.CMD_WRITE -> (int) length;
            case Nbd.CMD_CACHE -> (int) Math.min(length, CACHE_PIECE_BYTES);
            case Nbd.CMD_BLOCK_STATUS -> StatusAnswer.BYTES;
            default -> 0;
        };
    }

    static int zeroFlags(int commandFlags) {
        return ((commandFlags & Nbd.CMD_FLAG_NO_HOLE) != 0 ? RequestFlags.NO_HOLE : 0)
                | ((commandFlags & Nbd.CMD_FLAG_FAST_ZERO) != 0 ? RequestFlags.FAST_ZERO : 0);
    }

    /** Why a request was refused, for people. */
    static String textOf(ServerRequest request, int error) {
        return switch (error) {
            case Nbd.EPERM -> "the export is read-only";
            case Nbd.ENOSPC -> "the range ends past the end of the export";
            case Nbd.EOVERFLOW -> "longer than the export's maximum payload";
            default ->
                request.type > Nbd.CMD_BLOCK_STATUS
                        ? "no such command"
                        : "not what this export takes: flags, range, block size, or a command that was not negotiated";
        };
    }

    /** What a device's error is called on the wire. ENOTSUP answers fast zeroes, and nothing else. */
    static int errorOf(ServerRequest request, BlockError error) {
        boolean fastZero = request.type == Nbd.CMD_WRITE_ZEROES && (request.flags & Nbd.CMD_FLAG_FAST_ZERO) != 0;
        return error.kind() == ErrorKind.UNSUPPORTED && fastZero ? Nbd.ENOTSUP : Nbd.errorOf(error.kind());
    }
}
