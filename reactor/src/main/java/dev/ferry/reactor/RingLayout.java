package dev.ferry.reactor;

/**
 * The memory that io_uring shares with us: {@code include/uapi/linux/io_uring.h} of the kernel.
 *
 * <pre>
 *   submission entry, 64 bytes                          completion entry, 16 bytes
 *   0   opcode        1 byte                            0   user data   8
 *   1   flags         1                                 8   result      4
 *   2   ioprio        2                                 12  flags       4
 *   4   descriptor    4
 *   8   offset        8   (or second address)           parameters of io_uring_setup, 120 bytes
 *   16  address       8                                 0 sq entries  4 cq entries  8 flags  20 features
 *   24  length        4                                 40 sq offsets: head tail mask entries flags dropped array
 *   28  operation's flags 4                             80 cq offsets: head tail mask entries overflow cqes flags
 *   32  user data     8
 *   40  buffer index  2
 * </pre>
 */
final class RingLayout {
    static final int ENTRY_BYTES = 64;
    static final int COMPLETION_BYTES = 16;
    static final int PARAMETERS_BYTES = 120;

    static final int SETUP_CQSIZE = 1 << 3;
    static final int SETUP_CLAMP = 1 << 4;
    static final int SETUP_SUBMIT_ALL = 1 << 7;
    static final int SETUP_SINGLE_ISSUER = 1 << 12;
    static final int SETUP_DEFER_TASKRUN = 1 << 13;

    static final int FEATURE_SINGLE_MMAP = 1;
    static final int FEATURE_NODROP = 1 << 1;
    static final int FEATURE_EXT_ARG = 1 << 8;

    static final int ENTER_GETEVENTS = 1;
    static final int ENTER_EXT_ARG = 1 << 3;
    static final int ENTER_REGISTERED_RING = 1 << 4;

    static final int REGISTER_BUFFERS = 0;
    static final int REGISTER_RING_FDS = 20;

    static final long MMAP_RINGS = 0;
    static final long MMAP_ENTRIES = 0x10000000L;

    static final byte OP_FSYNC = 3;
    static final byte OP_READ_FIXED = 4;
    static final byte OP_WRITE_FIXED = 5;
    static final byte OP_POLL_ADD = 6;
    static final byte OP_SENDMSG = 9;
    static final byte OP_ACCEPT = 13;
    static final byte OP_ASYNC_CANCEL = 14;
    static final byte OP_CONNECT = 16;
    static final byte OP_FALLOCATE = 17;
    static final byte OP_READ = 22;
    static final byte OP_WRITE = 23;
    static final byte OP_SEND = 26;
    static final byte OP_RECV = 27;

    static final int FSYNC_DATASYNC = 1;
    static final int POLL_OUT = 4;
    static final int ACCEPT_NONBLOCK_CLOEXEC = 0x80800;

    private RingLayout() {}
}
