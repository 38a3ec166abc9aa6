package dev.ferry.reactor;

import static dev.ferry.reactor.RingLayout.COMPLETION_BYTES;
import static dev.ferry.reactor.RingLayout.ENTRY_BYTES;

import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;

/**
 * An event loop on io_uring.
 *
 * <p>One ring, made on the loop's own thread with SINGLE_ISSUER and DEFER_TASKRUN, so that the kernel does its part of a
 * completion on this thread, when it asks, and never interrupts it. Submissions gather in the ring and go to the
 * kernel with the call that waits: one system call for a turn. Sends are tried at once, without the ring, because they
 * nearly always succeed at once and their completion would end the wait for what comes next; only a socket that is
 * full goes through the ring.
 *
 * <p>An operation in flight has a slot; its number is the user data of the entry. The completion ring is larger than the
 * submission ring, and what does not fit in it the kernel keeps (NODROP) and gives with the next wait. Requires Linux
 * 6.1.
 */
final class RingLoop extends ThreadLoop {
    private static final int ENTRIES = 256;
    private static final int COMPLETIONS = 4096;
    private static final long NOBODY = -1;
    private static final long WAKE = -2;

    private final int wakeDescriptor;
    private final long wakeWord = Linux.mapPages(4096);
    private int ring = -1;
    private int enterDescriptor = -1;
    private int enterFlags;

    private long rings;
    private long ringsBytes;
    private long entries;
    private long submitHead;
    private long submitTail;
    private long completeHead;
    private long completeTail;
    private long completions;
    private int submitMask;
    private int submitEntries;
    private int completeMask;
    private int tail;
    private int unsubmitted;

    private @Nullable IoOperation[] operations = new @Nullable IoOperation[ENTRIES];
    private int[] freeSlots = new int[ENTRIES];
    private int freeCount;

    private long messages = Linux.mapPages(ENTRIES * 64L);
    private final long scratch = wakeWord + 64;
    private long registeredFrom;
    private long registeredTo;
    private volatile @Nullable String failure;
    private final CountDownLatch opened = new CountDownLatch(1);

    RingLoop(String threadName) {
        super(threadName);
        wakeDescriptor = Linux.eventDescriptor();
        for (int i = ENTRIES - 1; i >= 0; i--) {
            freeSlots[freeCount++] = i;
        }
    }

    /**
     * Starts a loop, if this kernel lets us.
     *
     * @return why not, or null
     */
    @Nullable
    String tryStart() {
        start();
        boolean interrupted = false;
        while (true) {
            try {
                opened.await();
                break;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        return failure;
    }

    @Override
    public String name() {
        return "io_uring";
    }

    @Override
    void open() {
        failure = setUp();
        if (failure != null) {
            close();
        } else {
            armWake();
        }
        opened.countDown();
    }

    private @Nullable String setUp() {
        long parameters = Linux.mapPages(4096);
        try {
            int flags = RingLayout.SETUP_CQSIZE
                    | RingLayout.SETUP_CLAMP
                    | RingLayout.SETUP_SUBMIT_ALL
                    | RingLayout.SETUP_SINGLE_ISSUER
                    | RingLayout.SETUP_DEFER_TASKRUN;
            Memory.put(parameters + 8, flags);
            Memory.put(parameters + 4, COMPLETIONS);
            ring = Linux.ringSetup(ENTRIES, parameters);
            if (ring < 0) {
                return switch (-ring) {
                    case Errno.ENOSYS -> "io_uring is not in this kernel";
                    case Errno.EPERM, Errno.EACCES -> "io_uring is forbidden here";
                    case Errno.EINVAL -> "this kernel's io_uring is older than Linux 6.1";
                    default -> "io_uring cannot be set up: " + Errno.text(ring);
                };
            }
            int needed = RingLayout.FEATURE_SINGLE_MMAP | RingLayout.FEATURE_NODROP | RingLayout.FEATURE_EXT_ARG;
            if ((Memory.intAt(parameters + 20) & needed) != needed) {
                return "this kernel's io_uring lacks features";
            }
            return map(parameters);
        } finally {
            Linux.unmap(parameters, 4096);
        }
    }

    private @Nullable String map(long parameters) {
        submitEntries = Memory.intAt(parameters);
        int completeEntries = Memory.intAt(parameters + 4);
        int arrayOffset = Memory.intAt(parameters + 40 + 24);
        int completionsOffset = Memory.intAt(parameters + 80 + 20);
        ringsBytes = Math.max(
                arrayOffset + 4L * submitEntries, completionsOffset + (long) COMPLETION_BYTES * completeEntries);
        rings = Linux.mapShared(ring, ringsBytes, RingLayout.MMAP_RINGS);
        entries = Linux.mapShared(ring, (long) ENTRY_BYTES * submitEntries, RingLayout.MMAP_ENTRIES);
        if (rings < 0 || entries < 0) {
            return "io_uring's memory cannot be mapped: " + Errno.text((int) Math.min(rings, entries));
        }
        submitHead = rings + Memory.intAt(parameters + 40);
        submitTail = rings + Memory.intAt(parameters + 44);
        submitMask = Memory.intAt(rings + Memory.intAt(parameters + 48));
        completeHead = rings + Memory.intAt(parameters + 80);
        completeTail = rings + Memory.intAt(parameters + 84);
        completeMask = Memory.intAt(rings + Memory.intAt(parameters + 88));
        completions = rings + completionsOffset;
        for (int i = 0; i < submitEntries; i++) {
            Memory.put(rings + arrayOffset + 4L * i, i);
        }
        tail = Memory.intAt(submitTail);
        enterDescriptor = ring;
        registerRing();
        return null;
    }

    /** A registered ring saves looking its descriptor up in every call. */
    private void registerRing() {
        Memory.put(scratch, -1);
        Memory.put(scratch + 4, 0);
        Memory.put(scratch + 8, (long) ring);
        if (Linux.ringRegister(ring, RingLayout.REGISTER_RING_FDS, scratch, 1) == 1) {
            enterDescriptor = Memory.intAt(scratch);
            enterFlags = RingLayout.ENTER_REGISTERED_RING;
        }
    }

    @Override
    public boolean registerMemory(long address, long length) {
        Memory.put(scratch, address);
        Memory.put(scratch + 8, length);
        if (Linux.ringRegister(ring, RingLayout.REGISTER_BUFFERS, scratch, 1) < 0) {
            return false;
        }
        registeredFrom = address;
        registeredTo = address + length;
        return true;
    }

    // ---- the turn

    @Override
    void await(long timeoutNanos) {
        boolean ready = Memory.intAcquire(completeTail) != Memory.intAt(completeHead);
        int wanted = timeoutNanos == 0 || ready ? 0 : 1;
        enter(wanted, timeoutNanos);
        reap();
    }

    private void enter(int wanted, long timeoutNanos) {
        Memory.putRelease(submitTail, tail);
        int flags = enterFlags | RingLayout.ENTER_GETEVENTS;
        int result;
        if (wanted > 0 && timeoutNanos > 0) {
            Memory.put(scratch, 0L);
            Memory.put(scratch + 8, 8);
            Memory.put(scratch + 12, 0);
            Memory.put(scratch + 16, scratch + 32);
            Memory.put(scratch + 32, timeoutNanos / 1_000_000_000L);
            Memory.put(scratch + 40, timeoutNanos % 1_000_000_000L);
            result = Linux.ringEnter(
                    enterDescriptor, unsubmitted, wanted, flags | RingLayout.ENTER_EXT_ARG, scratch, 24);
        } else {
            result = Linux.ringEnter(enterDescriptor, unsubmitted, wanted, flags, 0, 8);
        }
        // EBUSY and EAGAIN: the kernel wants completions taken first. EINTR, ETIME: nothing came. All go on.
        if (result < 0
                && result != -Errno.EINTR
                && result != -Errno.ETIME
                && result != -Errno.EBUSY
                && result != -Errno.EAGAIN) {
            throw new IllegalStateException("io_uring_enter failed: " + Errno.text(result));
        }
        unsubmitted = tail - Memory.intAcquire(submitHead);
    }

    private void reap() {
        int head = Memory.intAt(completeHead);
        int end = Memory.intAcquire(completeTail);
        while (head != end) {
            long entry = completions + (long) (head & completeMask) * COMPLETION_BYTES;
            long who = Memory.longAt(entry);
            int result = Memory.intAt(entry + 8);
            head++;
            Memory.putRelease(completeHead, head);
            if (who >= 0) {
                complete((int) who, result);
            } else if (who == WAKE) {
                armWake();
            }
        }
    }

    private void complete(int slot, int result) {
        IoOperation operation = Objects.requireNonNull(operations[slot]);
        operations[slot] = null;
        freeSlots[freeCount++] = slot;
        operation.slot = -1;
        deliver(operation, result);
    }

    private void armWake() {
        long entry = entry(RingLayout.OP_READ, wakeDescriptor, wakeWord, 8, 0, WAKE);
        Memory.put(entry + 28, 0);
    }

    @Override
    void wake() {
        Linux.writeWord(wakeDescriptor, WakeWord.ONE);
    }

    @Override
    void release() {
        if (ring >= 0) {
            Linux.close(ring);
        }
        if (rings > 0) {
            Linux.unmap(rings, ringsBytes);
        }
        if (entries > 0) {
            Linux.unmap(entries, (long) ENTRY_BYTES * submitEntries);
        }
        // The wake descriptor stays open: a late wake must not write to a descriptor that is something else by then.
    }

    // ---- entries

    private long entry(byte opcode, int descriptor, long address, int length, long offset, long userData) {
        if (tail - Memory.intAcquire(submitHead) == submitEntries) {
            enter(0, 0);
        }
        long entry = entries + (long) (tail & submitMask) * ENTRY_BYTES;
        tail++;
        unsubmitted++;
        Memory.put(entry, (long) opcode | (long) descriptor << 32);
        Memory.put(entry + 8, offset);
        Memory.put(entry + 16, address);
        Memory.put(entry + 24, Integer.toUnsignedLong(length));
        Memory.put(entry + 32, userData);
        Memory.put(entry + 40, 0L);
        Memory.put(entry + 48, 0L);
        Memory.put(entry + 56, 0L);
        return entry;
    }

    private int slotFor(IoOperation operation) {
        if (operation.slot >= 0) {
            throw new IllegalStateException("the operation is in flight already");
        }
        if (freeCount == 0) {
            grow();
        }
        int slot = freeSlots[--freeCount];
        operations[slot] = operation;
        operation.slot = slot;
        return slot;
    }

    private void grow() {
        int old = operations.length;
        operations = Arrays.copyOf(operations, old * 2);
        freeSlots = Arrays.copyOf(freeSlots, old * 2);
        for (int i = old * 2 - 1; i >= old; i--) {
            freeSlots[freeCount++] = i;
        }
        // Message headers are read by the kernel while it takes the entry, so those in use are not needed any more.
        messages = Linux.mapPages(old * 128L);
    }

    private long submit(byte opcode, int descriptor, long address, int length, long offset, IoOperation operation) {
        int slot = slotFor(operation);
        return entry(opcode, descriptor, address, length, offset, slot);
    }

    // ---- sockets

    @Override
    public void accept(int listener, IoOperation operation) {
        long entry = submit(RingLayout.OP_ACCEPT, listener, 0, 0, 0, operation);
        Memory.put(entry + 28, RingLayout.ACCEPT_NONBLOCK_CLOEXEC);
    }

    @Override
    public void connect(int socket, long address, int length, IoOperation operation) {
        submit(RingLayout.OP_CONNECT, socket, address, 0, length, operation);
    }

    @Override
    public void receive(int socket, long address, int length, IoOperation operation) {
        submit(RingLayout.OP_RECV, socket, address, length, 0, operation);
    }

    @Override
    public void receiveFully(int socket, long address, int length, IoOperation operation) {
        long entry = submit(RingLayout.OP_RECV, socket, address, length, 0, operation);
        Memory.put(entry + 28, Linux.MSG_WAITALL);
    }

    @Override
    public void send(int socket, long address, int length, IoOperation operation) {
        int sent = Linux.send(socket, address, length, Linux.MSG_DONTWAIT | Linux.MSG_NOSIGNAL);
        if (sent == length || (sent < 0 && sent != -Errno.EAGAIN)) {
            end(operation, sent);
            return;
        }
        if (sent > 0) {
            // The rest waits for room; the operation must end with the whole length.
            rest(operation, socket, address, length, sent);
            return;
        }
        long entry = submit(RingLayout.OP_SEND, socket, address, length, 0, operation);
        Memory.put(entry + 28, Linux.MSG_WAITALL | Linux.MSG_NOSIGNAL);
    }

    private void rest(IoOperation operation, int socket, long address, int length, int sent) {
        operation.slot = OUTSIDE;
        IoOperation remaining = new IoOperation() {
            @Override
            protected void completed(int result) {
                operation.slot = -1;
                deliver(operation, result < 0 ? result : sent + result);
            }
        };
        long entry = submit(RingLayout.OP_SEND, socket, address + sent, length - sent, 0, remaining);
        Memory.put(entry + 28, Linux.MSG_WAITALL | Linux.MSG_NOSIGNAL);
    }

    @Override
    public void sendVectors(int socket, long vectors, int count, IoOperation operation) {
        message(scratch, vectors, count);
        int sent = Linux.sendMessage(socket, scratch, Linux.MSG_DONTWAIT | Linux.MSG_NOSIGNAL);
        if (sent != -Errno.EAGAIN) {
            end(operation, sent);
            return;
        }
        int slot = slotFor(operation);
        long message = messages + slot * 64L;
        message(message, vectors, count);
        long entry = entry(RingLayout.OP_SENDMSG, socket, message, 1, 0, slot);
        Memory.put(entry + 28, Linux.MSG_NOSIGNAL);
    }

    /** A msghdr: name, name length, vectors, their count, control, control length, flags. */
    static void message(long at, long vectors, int count) {
        Memory.put(at, 0L);
        Memory.put(at + 8, 0L);
        Memory.put(at + 16, vectors);
        Memory.put(at + 24, (long) count);
        Memory.put(at + 32, 0L);
        Memory.put(at + 40, 0L);
        Memory.put(at + 48, 0L);
    }

    @Override
    public void awaitWritable(int socket, IoOperation operation) {
        long entry = submit(RingLayout.OP_POLL_ADD, socket, 0, 0, 0, operation);
        Memory.put(entry + 28, RingLayout.POLL_OUT);
    }

    // ---- files

    @Override
    public void read(int file, long position, long address, int length, IoOperation operation) {
        submit(
                fixed(address, length) ? RingLayout.OP_READ_FIXED : RingLayout.OP_READ,
                file,
                address,
                length,
                position,
                operation);
    }

    @Override
    public void write(int file, long position, long address, int length, IoOperation operation) {
        submit(
                fixed(address, length) ? RingLayout.OP_WRITE_FIXED : RingLayout.OP_WRITE,
                file,
                address,
                length,
                position,
                operation);
    }

    private boolean fixed(long address, int length) {
        return address >= registeredFrom && address + length <= registeredTo;
    }

    @Override
    public void dataSync(int file, IoOperation operation) {
        long entry = submit(RingLayout.OP_FSYNC, file, 0, 0, 0, operation);
        Memory.put(entry + 28, RingLayout.FSYNC_DATASYNC);
    }

    @Override
    public void allocate(int file, int mode, long position, long length, IoOperation operation) {
        // The length stands where the address is, the mode where the length is.
        submit(RingLayout.OP_FALLOCATE, file, length, mode, position, operation);
    }

    @Override
    public void cancel(IoOperation operation) {
        if (operation.slot >= 0 && operation.slot != OUTSIDE) {
            entry(RingLayout.OP_ASYNC_CANCEL, -1, operation.slot, 0, 0, NOBODY);
        }
    }
}
