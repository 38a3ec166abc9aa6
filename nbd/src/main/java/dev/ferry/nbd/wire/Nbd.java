package dev.ferry.nbd.wire;

import dev.ferry.block.ErrorKind;

/** The numbers of the protocol, section "Values" of the specification. */
public final class Nbd {
    // ---- magic numbers
    public static final long GREETING_MAGIC = 0x4e42444d41474943L;
    public static final long OPTION_MAGIC = 0x49484156454F5054L;
    public static final long OLDSTYLE_MAGIC = 0x00420281861253L;
    public static final long OPTION_REPLY_MAGIC = 0x3e889045565a9L;
    public static final int REQUEST_MAGIC = 0x25609513;
    public static final int SIMPLE_REPLY_MAGIC = 0x67446698;
    public static final int STRUCTURED_REPLY_MAGIC = 0x668e33ef;
    public static final int EXTENDED_REQUEST_MAGIC = 0x21e41c71;
    public static final int EXTENDED_REPLY_MAGIC = 0x6e8a278c;

    // ---- handshake flags, of the server and of the client
    public static final int FLAG_FIXED_NEWSTYLE = 1;
    public static final int FLAG_NO_ZEROES = 2;

    // ---- options
    public static final int OPT_EXPORT_NAME = 1;
    public static final int OPT_ABORT = 2;
    public static final int OPT_LIST = 3;
    public static final int OPT_STARTTLS = 5;
    public static final int OPT_INFO = 6;
    public static final int OPT_GO = 7;
    public static final int OPT_STRUCTURED_REPLY = 8;
    public static final int OPT_LIST_META_CONTEXT = 9;
    public static final int OPT_SET_META_CONTEXT = 10;
    public static final int OPT_EXTENDED_HEADERS = 11;

    // ---- replies to options
    public static final int REP_ACK = 1;
    public static final int REP_SERVER = 2;
    public static final int REP_INFO = 3;
    public static final int REP_META_CONTEXT = 4;
    public static final int REP_ERROR = 1 << 31;
    public static final int REP_ERR_UNSUP = REP_ERROR + 1;
    public static final int REP_ERR_POLICY = REP_ERROR + 2;
    public static final int REP_ERR_INVALID = REP_ERROR + 3;
    public static final int REP_ERR_PLATFORM = REP_ERROR + 4;
    public static final int REP_ERR_TLS_REQD = REP_ERROR + 5;
    public static final int REP_ERR_UNKNOWN = REP_ERROR + 6;
    public static final int REP_ERR_SHUTDOWN = REP_ERROR + 7;
    public static final int REP_ERR_BLOCK_SIZE_REQD = REP_ERROR + 8;
    public static final int REP_ERR_TOO_BIG = REP_ERROR + 9;
    public static final int REP_ERR_EXT_HEADER_REQD = REP_ERROR + 10;

    // ---- kinds of information
    public static final int INFO_EXPORT = 0;
    public static final int INFO_NAME = 1;
    public static final int INFO_DESCRIPTION = 2;
    public static final int INFO_BLOCK_SIZE = 3;

    // ---- transmission flags
    public static final int FLAG_HAS_FLAGS = 1;
    public static final int FLAG_READ_ONLY = 1 << 1;
    public static final int FLAG_SEND_FLUSH = 1 << 2;
    public static final int FLAG_SEND_FUA = 1 << 3;
    public static final int FLAG_ROTATIONAL = 1 << 4;
    public static final int FLAG_SEND_TRIM = 1 << 5;
    public static final int FLAG_SEND_WRITE_ZEROES = 1 << 6;
    public static final int FLAG_SEND_DF = 1 << 7;
    public static final int FLAG_CAN_MULTI_CONN = 1 << 8;
    public static final int FLAG_SEND_CACHE = 1 << 10;
    public static final int FLAG_SEND_FAST_ZERO = 1 << 11;
    public static final int FLAG_BLOCK_STATUS_PAYLOAD = 1 << 12;

    // ---- commands
    public static final int CMD_READ = 0;
    public static final int CMD_WRITE = 1;
    public static final int CMD_DISC = 2;
    public static final int CMD_FLUSH = 3;
    public static final int CMD_TRIM = 4;
    public static final int CMD_CACHE = 5;
    public static final int CMD_WRITE_ZEROES = 6;
    public static final int CMD_BLOCK_STATUS = 7;

    // ---- flags of commands
    public static final int CMD_FLAG_FUA = 1;
    public static final int CMD_FLAG_NO_HOLE = 1 << 1;
    public static final int CMD_FLAG_DF = 1 << 2;
    public static final int CMD_FLAG_REQ_ONE = 1 << 3;
    public static final int CMD_FLAG_FAST_ZERO = 1 << 4;
    public static final int CMD_FLAG_PAYLOAD_LEN = 1 << 5;

    // ---- structured replies
    public static final int REPLY_FLAG_DONE = 1;
    public static final int CHUNK_NONE = 0;
    public static final int CHUNK_OFFSET_DATA = 1;
    public static final int CHUNK_OFFSET_HOLE = 2;
    public static final int CHUNK_BLOCK_STATUS = 5;
    public static final int CHUNK_BLOCK_STATUS_EXT = 6;
    public static final int CHUNK_ERROR_BIT = 1 << 15;
    public static final int CHUNK_ERROR = CHUNK_ERROR_BIT + 1;
    public static final int CHUNK_ERROR_OFFSET = CHUNK_ERROR_BIT + 2;

    // ---- errors
    public static final int EPERM = 1;
    public static final int EIO = 5;
    public static final int ENOMEM = 12;
    public static final int EINVAL = 22;
    public static final int ENOSPC = 28;
    public static final int EOVERFLOW = 75;
    public static final int ENOTSUP = 95;
    public static final int ESHUTDOWN = 108;

    // ---- limits
    /** The longest string that the protocol allows: names, descriptions, messages. */
    public static final int STRING_BYTES_MAX = 4096;

    /** Metadata contexts of one connection, so that a set of them fits a word. */
    public static final int CONTEXTS_MAX = 64;

    /** The one metadata context that the specification defines. */
    public static final String BASE_ALLOCATION = "base:allocation";

    /** QEMU's context for the layer of a chain that has the data; docs/interop/nbd.rst of QEMU. */
    public static final String ALLOCATION_DEPTH = "qemu:allocation-depth";

    /** What the names of QEMU's contexts for dirty bitmaps begin with; docs/interop/nbd.rst of QEMU. */
    public static final String DIRTY_BITMAP = "qemu:dirty-bitmap:";

    private Nbd() {}

    /** The error that stands for a kind on the wire; ENOTSUP is not among them: it answers fast zeroes only. */
    public static int errorOf(ErrorKind kind) {
        return switch (kind) {
            case NO_SPACE -> ENOSPC;
            case READ_ONLY, ACCESS -> EPERM;
            case INVALID, UNSUPPORTED -> EINVAL;
            case CLOSED -> ESHUTDOWN;
            case NO_MEMORY -> ENOMEM;
            case IO, NOT_FOUND, BUSY, UNAVAILABLE, TIMED_OUT, CORRUPT, CANCELLED -> EIO;
        };
    }

    /** The kind that an error on the wire stands for; one that is not in the specification counts as EINVAL. */
    public static ErrorKind kindOf(int error) {
        return switch (error) {
            case EPERM -> ErrorKind.READ_ONLY;
            case EIO -> ErrorKind.IO;
            case ENOMEM -> ErrorKind.NO_MEMORY;
            case ENOSPC -> ErrorKind.NO_SPACE;
            case ENOTSUP -> ErrorKind.UNSUPPORTED;
            case ESHUTDOWN -> ErrorKind.UNAVAILABLE;
            default -> ErrorKind.INVALID;
        };
    }

    /** What people call an error on the wire. */
    public static String textOf(int error) {
        return switch (error) {
            case EPERM -> "operation not permitted";
            case EIO -> "input/output error";
            case ENOMEM -> "cannot allocate memory";
            case EINVAL -> "invalid argument";
            case ENOSPC -> "no space left on device";
            case EOVERFLOW -> "value too large";
            case ENOTSUP -> "operation not supported";
            case ESHUTDOWN -> "the server is shutting down";
            default -> "error " + error;
        };
    }
}
