package dev.ferry.reactor;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * System calls of Linux. Every one gives what the kernel gave: 0 or above, or an errno below zero; none throws. All go
 * through libc's {@code syscall}, so that there is one foreign function in Ferry and not fifty.
 *
 * <p>Memory is named by address. Calls that wait hold their thread: none of them belongs on a virtual thread.
 */
public final class Linux {
    public static final int O_RDONLY = 0;
    public static final int O_RDWR = 2;
    public static final int O_CREAT = 0x40;
    public static final int O_EXCL = 0x80;
    public static final int O_NONBLOCK = 0x800;
    public static final int O_CLOEXEC = 0x80000;
    public static final int O_DIRECT = Architecture.HERE.directFlag();
    public static final int O_NOFOLLOW = Architecture.HERE.noFollowFlag();
    public static final int O_DIRECTORY = Architecture.HERE.directoryFlag();

    public static final int FALLOC_KEEP_SIZE = 1;
    public static final int FALLOC_PUNCH_HOLE = 2;
    public static final int FALLOC_ZERO_RANGE = 16;

    public static final int SEEK_END = 2;
    public static final int SEEK_DATA = 3;
    public static final int SEEK_HOLE = 4;

    static final int RWF_NOWAIT = 8;
    static final int MSG_DONTWAIT = 0x40;
    static final int MSG_WAITALL = 0x100;
    static final int MSG_NOSIGNAL = 0x4000;

    private static final int AT_FDCWD = -100;

    private static final FunctionDescriptor SEVEN_WORDS;
    private static final MethodHandle SYSCALL;
    private static final StructLayout CALL_STATE = Linker.Option.captureStateLayout();
    private static final long ERRNO_OFFSET = CALL_STATE.byteOffset(MemoryLayout.PathElement.groupElement("errno"));
    private static final ThreadLocal<MemorySegment> STATE =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(CALL_STATE));
    private static final ThreadLocal<MemorySegment> POSITION =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(8, 8));

    private static final long NR_READ = Architecture.HERE.pick(0, 63);
    private static final long NR_WRITE = Architecture.HERE.pick(1, 64);
    private static final long NR_CLOSE = Architecture.HERE.pick(3, 57);
    private static final long NR_LSEEK = Architecture.HERE.pick(8, 62);
    private static final long NR_MMAP = Architecture.HERE.pick(9, 222);
    private static final long NR_MUNMAP = Architecture.HERE.pick(11, 215);
    private static final long NR_IOCTL = Architecture.HERE.pick(16, 29);
    private static final long NR_PREAD = Architecture.HERE.pick(17, 67);
    private static final long NR_PWRITE = Architecture.HERE.pick(18, 68);
    private static final long NR_SENDFILE = Architecture.HERE.pick(40, 71);
    private static final long NR_SOCKET = Architecture.HERE.pick(41, 198);
    private static final long NR_CONNECT = Architecture.HERE.pick(42, 203);
    private static final long NR_RECVFROM = Architecture.HERE.pick(45, 207);
    private static final long NR_SENDTO = Architecture.HERE.pick(44, 206);
    private static final long NR_SENDMSG = Architecture.HERE.pick(46, 211);
    private static final long NR_RECVMSG = Architecture.HERE.pick(47, 212);
    private static final long NR_SHUTDOWN = Architecture.HERE.pick(48, 210);
    private static final long NR_BIND = Architecture.HERE.pick(49, 200);
    private static final long NR_LISTEN = Architecture.HERE.pick(50, 201);
    private static final long NR_GETSOCKNAME = Architecture.HERE.pick(51, 204);
    private static final long NR_SOCKETPAIR = Architecture.HERE.pick(53, 199);
    private static final long NR_SETSOCKOPT = Architecture.HERE.pick(54, 208);
    private static final long NR_GETSOCKOPT = Architecture.HERE.pick(55, 209);
    private static final long NR_FCNTL = Architecture.HERE.pick(72, 25);
    private static final long NR_SYNC_FILE_RANGE = Architecture.HERE.pick(277, 84);
    private static final long NR_FSYNC = Architecture.HERE.pick(74, 82);
    private static final long NR_FDATASYNC = Architecture.HERE.pick(75, 83);
    private static final long NR_FTRUNCATE = Architecture.HERE.pick(77, 46);
    private static final long NR_FSTATFS = Architecture.HERE.pick(138, 44);
    private static final long NR_OPENAT = Architecture.HERE.pick(257, 56);
    private static final long NR_EPOLL_CTL = Architecture.HERE.pick(233, 21);
    private static final long NR_EPOLL_PWAIT = Architecture.HERE.pick(281, 22);
    private static final long NR_PPOLL = Architecture.HERE.pick(271, 73);
    private static final long NR_FALLOCATE = Architecture.HERE.pick(285, 47);
    private static final long NR_ACCEPT4 = Architecture.HERE.pick(288, 242);
    private static final long NR_EVENTFD2 = Architecture.HERE.pick(290, 19);
    private static final long NR_EPOLL_CREATE1 = Architecture.HERE.pick(291, 20);
    private static final long NR_COPY_FILE_RANGE = Architecture.HERE.pick(326, 285);
    private static final long NR_PREADV2 = Architecture.HERE.pick(327, 286);
    private static final long NR_STATX = Architecture.HERE.pick(332, 291);
    private static final long NR_IO_URING_SETUP = 425;
    private static final long NR_IO_URING_ENTER = 426;
    private static final long NR_IO_URING_REGISTER = 427;
    private static final long NR_CACHESTAT = 451;

    static {
        ValueLayout.OfLong word = ValueLayout.JAVA_LONG;
        SEVEN_WORDS = FunctionDescriptor.of(word, word, word, word, word, word, word, word);
        SYSCALL = handle(Linker.Option.captureCallState("errno"));
    }

    /** Made when it is needed, since each handle takes the JVM some ten milliseconds at the start of a process. */
    private static final class Plain {
        private static final MethodHandle SYSCALL = handle();
    }

    /** True in a process that is over soon: its calls are not worth a handle of their own. */
    private static volatile boolean brief;

    private static MethodHandle handle(Linker.Option... options) {
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(linker.defaultLookup().findOrThrow("syscall"), SEVEN_WORDS, options);
    }

    private Linux() {}

    /**
     * Has the JVM make what calls of the kernel need, which takes it some tens of milliseconds: a process that begins may do so on
     * one thread while it does something else on another. Any thread.
     *
     * @param overSoon the process makes some ten thousand calls at most: they may allocate, and less is made for them
     */
    public static void prepare(boolean overSoon) {
        brief = overSoon;
        hotCall(NR_CLOSE, -1, 0, 0, 0, 0, 0);
    }

    static long call(long number, long a, long b, long c, long d, long e, long f) {
        MemorySegment state = STATE.get();
        long result;
        try {
            result = (long) SYSCALL.invokeExact(state, number, a, b, c, d, e, f);
        } catch (Throwable unexpected) {
            throw new AssertionError("system call " + number, unexpected);
        }
        return result == -1 ? -state.get(ValueLayout.JAVA_INT, ERRNO_OFFSET) : result;
    }

    private static long call(long number, long a, long b, long c) {
        return call(number, a, b, c, 0, 0, 0);
    }

    /**
     * A call of the data path. Asking for errno makes the JDK allocate in each call, so it is asked for only when a call has
     * failed, by making it once more: for calls that do nothing when they fail.
     */
    private static long hotCall(long number, long a, long b, long c, long d, long e, long f) {
        long result = plainCall(number, a, b, c, d, e, f);
        return result == -1 ? call(number, a, b, c, d, e, f) : result;
    }

    /** -1 if the call has failed. */
    private static long plainCall(long number, long a, long b, long c, long d, long e, long f) {
        if (brief) {
            return Math.max(-1, call(number, a, b, c, d, e, f));
        }
        try {
            return (long) Plain.SYSCALL.invokeExact(number, a, b, c, d, e, f);
        } catch (Throwable unexpected) {
            throw new AssertionError("system call " + number, unexpected);
        }
    }

    // ---- memory

    /** Fresh pages of zeroes, which take up memory only when touched and live as long as the process. */
    public static SegmentAllocator pages() {
        return (byteSize, byteAlignment) -> {
            if (byteAlignment > 4096) {
                throw new IllegalArgumentException("pages are aligned to 4096");
            }
            return Memory.slice(mapPages(byteSize), byteSize);
        };
    }

    static long mapPages(long bytes) {
        int readWrite = 3;
        int privateAnonymous = 0x22;
        long address = call(NR_MMAP, 0, bytes, readWrite, privateAnonymous, -1, 0);
        if (address < 0) {
            throw new OutOfMemoryError("no memory for " + bytes + " bytes: " + Errno.text((int) address));
        }
        return address;
    }

    static long mapShared(int file, long bytes, long offset) {
        int readWrite = 3;
        int sharedPopulate = 0x8001;
        return call(NR_MMAP, 0, bytes, readWrite, sharedPopulate, file, offset);
    }

    static void unmap(long address, long bytes) {
        call(NR_MUNMAP, address, bytes, 0);
    }

    // ---- files

    /** Opens a file; {@code O_CLOEXEC} is always added. */
    public static int open(String path, int flags, int mode) {
        try (Arena arena = Arena.ofConfined()) {
            long name = arena.allocateFrom(path).address();
            return (int) call(NR_OPENAT, AT_FDCWD, name, flags | (long) O_CLOEXEC, mode, 0, 0);
        }
    }

    public static int close(int file) {
        return (int) call(NR_CLOSE, file, 0, 0);
    }

    /** Reads at a position. May wait for the disk. */
    public static int pread(int file, long address, int length, long position) {
        return (int) hotCall(NR_PREAD, file, address, length, position, 0, 0);
    }

    /** Writes at a position. May wait for memory or the disk. */
    public static int pwrite(int file, long address, int length, long position) {
        return (int) hotCall(NR_PWRITE, file, address, length, position, 0, 0);
    }

    /**
     * Reads at a position only what is in memory already.
     *
     * @param vector memory for one iovec, 16 bytes, used for the call
     * @return bytes; fewer than asked where the rest is not in memory; {@link Errno#EAGAIN} where nothing is, {@link
     *     Errno#EOPNOTSUPP} where the file system cannot tell
     */
    public static int preadNoWait(int file, long address, int length, long position, long vector) {
        Memory.put(vector, address);
        Memory.put(vector + 8, (long) length);
        return (int) hotCall(NR_PREADV2, file, vector, 1, position, 0, RWF_NOWAIT);
    }

    public static int dataSync(int file) {
        return (int) call(NR_FDATASYNC, file, 0, 0);
    }

    public static int sync(int file) {
        return (int) call(NR_FSYNC, file, 0, 0);
    }

    public static int truncate(int file, long length) {
        return (int) call(NR_FTRUNCATE, file, length, 0);
    }

    public static int allocate(int file, int mode, long position, long length) {
        return (int) call(NR_FALLOCATE, file, mode, position, length, 0, 0);
    }

    /** Where the next data or hole begins at or after a position ({@link #SEEK_DATA}, {@link #SEEK_HOLE}). */
    public static long seek(int file, long position, int whence) {
        return call(NR_LSEEK, file, position, whence);
    }

    /**
     * Copies within the kernel, sharing blocks where the file system can.
     *
     * @return bytes copied, possibly fewer than asked; 0 at the end of the file
     */
    public static long copyFileRange(int source, long sourcePosition, int target, long targetPosition, long length) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment positions = arena.allocate(16, 8);
            positions.set(ValueLayout.JAVA_LONG, 0, sourcePosition);
            positions.set(ValueLayout.JAVA_LONG, 8, targetPosition);
            long at = positions.address();
            return call(NR_COPY_FILE_RANGE, source, at, target, at + 8, length, 0);
        }
    }

    /**
     * Makes a range of a file the same blocks as a range of another in the same file system, holes and all, until one of them
     * is changed: ioctl FICLONERANGE. Ranges are whole blocks, or end with their files.
     *
     * @param length 0: up to the end of the source
     */
    public static int shareRange(int source, long sourcePosition, int target, long targetPosition, long length) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment range = arena.allocate(32, 8);
            range.set(ValueLayout.JAVA_LONG, 0, source);
            range.set(ValueLayout.JAVA_LONG, 8, sourcePosition);
            range.set(ValueLayout.JAVA_LONG, 16, length);
            range.set(ValueLayout.JAVA_LONG, 24, targetPosition);
            return (int) call(NR_IOCTL, target, 0x4020940dL, range.address());
        }
    }

    /** Writes what is dirty in a range to the disk, and waits for it; the file's other users are not held up. */
    public static int writeOut(int file, long position, long length) {
        int waitBeforeWriteWaitAfter = 7;
        return (int) call(NR_SYNC_FILE_RANGE, file, position, length, waitBeforeWriteWaitAfter, 0, 0);
    }

    /** Has what is dirty in a range written to the disk, and does not wait for it, unless the disk has too much to do already. */
    public static int beginWriteOut(int file, long position, long length) {
        int write = 2;
        return (int) hotCall(NR_SYNC_FILE_RANGE, file, position, length, write, 0, 0);
    }

    /**
     * Counts pages of a file that are in memory.
     *
     * @param scratch 64 bytes of memory, used for the call
     * @return pages in memory within the range, or an errno below zero ({@link Errno#ENOSYS} before Linux 6.5)
     */
    public static long pagesInMemory(int file, long position, long length, long scratch) {
        Memory.put(scratch, position);
        Memory.put(scratch + 8, length);
        long result = hotCall(NR_CACHESTAT, file, scratch, scratch + 16, 0, 0, 0);
        return result < 0 ? result : Memory.longAt(scratch + 16);
    }

    /** Sends part of a file to a socket without passing it through user memory. */
    public static long sendfile(int socket, int file, long position, long length) {
        MemorySegment at = POSITION.get();
        at.set(ValueLayout.JAVA_LONG, 0, position);
        return hotCall(NR_SENDFILE, socket, file, at.address(), length, 0, 0);
    }

    /** What statx(2) tells of an open file, or an errno below zero through {@link FileFacts#error}. */
    public static FileFacts facts(int file) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment statx = arena.allocate(256, 8);
            MemorySegment empty = arena.allocateFrom("");
            int atEmptyPath = 0x1000;
            int basicAndDirectAlignment = 0x7ff | 0x2000;
            int error = (int)
                    call(NR_STATX, file, empty.address(), atEmptyPath, basicAndDirectAlignment, statx.address(), 0);
            MemorySegment statfs = arena.allocate(128, 8);
            call(NR_FSTATFS, file, statfs.address(), 0);
            return FileFacts.of(error, statx, statfs);
        }
    }

    /** Size of a block device in bytes, or an errno below zero. */
    public static long blockDeviceBytes(int file) {
        return ioctlLong(file, 0x80081272L);
    }

    /** Logical sector size of a block device in bytes, or an errno below zero. */
    public static long blockDeviceSectorBytes(int file) {
        long result = ioctlLong(file, 0x1268L);
        return result < 0 ? result : (int) result;
    }

    private static long ioctlLong(int file, long request) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment answer = arena.allocate(8, 8);
            long result = call(NR_IOCTL, file, request, answer.address());
            return result < 0 ? result : answer.get(ValueLayout.JAVA_LONG, 0);
        }
    }

    /** ioctl(2) with a number or an address as its argument. */
    public static int ioctl(int file, long request, long argument) {
        return (int) call(NR_IOCTL, file, request, argument);
    }

    /** read(2); waits if the descriptor does. */
    public static int read(int file, long address, int length) {
        return (int) call(NR_READ, file, address, length);
    }

    /** write(2); waits if the descriptor does. */
    public static int write(int file, long address, int length) {
        return (int) call(NR_WRITE, file, address, length);
    }

    /** fcntl(2) with a number or an address as its argument. */
    public static int fcntl(int file, int command, long argument) {
        return (int) call(NR_FCNTL, file, command, argument);
    }

    // ---- sockets, for this room

    static int socket(int domain, int type, int protocol) {
        return (int) call(NR_SOCKET, domain, type, protocol);
    }

    static int socketPair(int domain, int type, long descriptors) {
        return (int) call(NR_SOCKETPAIR, domain, type, 0, descriptors, 0, 0);
    }

    static int bind(int socket, long address, int length) {
        return (int) call(NR_BIND, socket, address, length);
    }

    static int listen(int socket, int backlog) {
        return (int) call(NR_LISTEN, socket, backlog, 0);
    }

    static int accept(int listener) {
        int nonBlockingCloseOnExec = 0x80800;
        return (int) call(NR_ACCEPT4, listener, 0, 0, nonBlockingCloseOnExec, 0, 0);
    }

    static int connect(int socket, long address, int length) {
        return (int) call(NR_CONNECT, socket, address, length);
    }

    static int socketName(int socket, long address, long length) {
        return (int) call(NR_GETSOCKNAME, socket, address, length);
    }

    static int setSocketOption(int socket, int level, int name, long value, int length) {
        return (int) call(NR_SETSOCKOPT, socket, level, name, value, length, 0);
    }

    static int socketOption(int socket, int level, int name, long value, long length) {
        return (int) call(NR_GETSOCKOPT, socket, level, name, value, length, 0);
    }

    static int shutdown(int socket, int how) {
        return (int) call(NR_SHUTDOWN, socket, how, 0);
    }

    static int send(int socket, long address, int length, int flags) {
        return (int) hotCall(NR_SENDTO, socket, address, length, flags, 0, 0);
    }

    static int receive(int socket, long address, int length, int flags) {
        return (int) hotCall(NR_RECVFROM, socket, address, length, flags, 0, 0);
    }

    static int sendMessage(int socket, long message, int flags) {
        return (int) hotCall(NR_SENDMSG, socket, message, flags, 0, 0, 0);
    }

    static int receiveMessage(int socket, long message, int flags) {
        return (int) call(NR_RECVMSG, socket, message, flags);
    }

    // ---- waiting

    static int eventDescriptor() {
        int nonBlockingCloseOnExec = 0x80800;
        return (int) call(NR_EVENTFD2, 0, nonBlockingCloseOnExec, 0);
    }

    static int readWord(int file, long address) {
        return (int) hotCall(NR_READ, file, address, 8, 0, 0, 0);
    }

    static int writeWord(int file, long address) {
        return (int) hotCall(NR_WRITE, file, address, 8, 0, 0, 0);
    }

    /** Looks at one pollfd without waiting (ppoll with a time of zero, which stands behind it in memory). */
    static int pollNow(long pollDescriptor) {
        Memory.put(pollDescriptor + 8, 0L);
        Memory.put(pollDescriptor + 16, 0L);
        return (int) call(NR_PPOLL, pollDescriptor, 1, pollDescriptor + 8, 0, 8, 0);
    }

    static int epollCreate() {
        return (int) call(NR_EPOLL_CREATE1, O_CLOEXEC, 0, 0);
    }

    static int epollControl(int epoll, int operation, int file, long event) {
        return (int) hotCall(NR_EPOLL_CTL, epoll, operation, file, event, 0, 0);
    }

    /** As with a ring, a wait that fails is made again without waiting. */
    static int epollWait(int epoll, long events, int most, int timeoutMillis) {
        long result = plainCall(NR_EPOLL_PWAIT, epoll, events, most, timeoutMillis, 0, 8);
        return (int) (result == -1 ? call(NR_EPOLL_PWAIT, epoll, events, most, 0, 0, 8) : result);
    }

    static int ringSetup(int entries, long parameters) {
        return (int) call(NR_IO_URING_SETUP, entries, parameters, 0);
    }

    /**
     * Submits and waits. A wait that fails is not made again to learn why, only the part of it that does not wait: 0 if
     * nothing is wrong but that time passed or a signal came.
     */
    static int ringEnter(int ring, int submit, int complete, int flags, long argument, int argumentBytes) {
        long result = plainCall(NR_IO_URING_ENTER, ring, submit, complete, flags, argument, argumentBytes);
        if (result == -1) {
            int withoutArgument = flags & ~RingLayout.ENTER_EXT_ARG;
            return (int) call(NR_IO_URING_ENTER, ring, submit, 0, withoutArgument, 0, 8);
        }
        return (int) result;
    }

    static int ringRegister(int ring, int operation, long argument, int count) {
        return (int) call(NR_IO_URING_REGISTER, ring, operation, argument, count, 0, 0);
    }
}
