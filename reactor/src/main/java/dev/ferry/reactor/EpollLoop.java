package dev.ferry.reactor;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * An event loop for kernels and containers without io_uring: sockets by epoll, files by worker threads.
 *
 * <p>A socket operation is tried at once; if the socket is not ready, the operation waits in a table by descriptor, one
 * for each direction, and is tried again when epoll (edge-triggered, armed once for each descriptor) says so. It ends,
 * as on a ring, in the loop's next turn and never inside the submitting call.
 *
 * <p>A descriptor that is closed leaves epoll by itself; its number may come again, so the table entry is armed anew
 * whenever the kernel does not know it.
 */
final class EpollLoop extends ThreadLoop {
    private static final int EVENTS = 256;
    private static final int ADD = 1;
    private static final int IN = 1;
    private static final int OUT = 4;
    private static final int ERR = 8;
    private static final int HUP = 16;
    private static final int RDHUP = 0x2000;
    private static final int EDGE = 1 << 31;

    private final int eventBytes = Architecture.HERE.epollEventBytes();
    private final int dataOffset = Architecture.HERE.epollDataOffset();
    private final long events = Linux.mapPages(EVENTS * 16L);
    private final long scratch = Linux.mapPages(4096);
    private final int epoll = Linux.epollCreate();
    private final int wakeDescriptor = Linux.eventDescriptor();

    private @Nullable IoOperation[] readers = new @Nullable IoOperation[64];
    private @Nullable IoOperation[] writers = new @Nullable IoOperation[64];

    EpollLoop(String threadName) {
        super(threadName);
    }

    @Override
    public String name() {
        return "epoll";
    }

    @Override
    void open() {
        arm(wakeDescriptor);
    }

    @Override
    void release() {
        Linux.close(epoll);
    }

    @Override
    void wake() {
        Linux.writeWord(wakeDescriptor, WakeWord.ONE);
    }

    @Override
    void await(long timeoutNanos) {
        long millis = timeoutNanos < 0 ? -1 : Math.min((timeoutNanos + 999_999) / 1_000_000, 60_000);
        int count = Linux.epollWait(epoll, events, EVENTS, (int) millis);
        for (int i = 0; i < count; i++) {
            long event = events + (long) i * eventBytes;
            int state = Memory.intAt(event);
            int descriptor = Memory.intAt(event + dataOffset);
            if (descriptor == wakeDescriptor) {
                Linux.readWord(wakeDescriptor, scratch);
                continue;
            }
            if ((state & (IN | ERR | HUP | RDHUP)) != 0) {
                tryAgain(readers, descriptor);
            }
            if ((state & (OUT | ERR | HUP)) != 0) {
                tryAgain(writers, descriptor);
            }
        }
    }

    private void tryAgain(@Nullable IoOperation[] table, int descriptor) {
        IoOperation operation = descriptor < table.length ? table[descriptor] : null;
        if (operation != null) {
            int result = attempt(operation, false);
            if (result != -Errno.EAGAIN) {
                table[descriptor] = null;
                end(operation, result);
            }
        }
    }

    private void arm(int descriptor) {
        Memory.put(scratch, IN | OUT | RDHUP | EDGE);
        Memory.put(scratch + dataOffset, (long) descriptor);
        int result = Linux.epollControl(epoll, ADD, descriptor, scratch);
        if (result < 0 && result != -Errno.EEXIST) {
            throw new IllegalStateException("epoll_ctl failed: " + Errno.text(result));
        }
    }

    private void submit(IoOperation.Kind kind, int descriptor, long address, int length, IoOperation operation) {
        if (operation.slot >= 0) {
            throw new IllegalStateException("the operation is in flight already");
        }
        operation.kind = kind;
        operation.descriptor = descriptor;
        operation.address = address;
        operation.length = length;
        operation.done = 0;
        int result = attempt(operation, true);
        if (result != -Errno.EAGAIN) {
            end(operation, result);
            return;
        }
        boolean reading = isReading(kind);
        if (descriptor >= readers.length) {
            int size = Integer.highestOneBit(descriptor) * 2;
            readers = Arrays.copyOf(readers, size);
            writers = Arrays.copyOf(writers, size);
        }
        @Nullable IoOperation[] table = reading ? readers : writers;
        if (table[descriptor] != null) {
            throw new IllegalStateException("an operation waits on this socket already");
        }
        table[descriptor] = operation;
        operation.slot = descriptor;
        arm(descriptor);
        // It may have become ready before it was armed, and an edge comes only once.
        tryAgain(table, descriptor);
    }

    private static boolean isReading(IoOperation.Kind kind) {
        return switch (kind) {
            case ACCEPT, RECEIVE, RECEIVE_FULLY -> true;
            case CONNECT, SEND, SEND_VECTORS, AWAIT_WRITABLE -> false;
            case NONE -> throw new IllegalStateException("not a socket operation");
        };
    }

    /** Does what can be done now; EAGAIN if the operation has to wait for its socket. */
    private int attempt(IoOperation operation, boolean first) {
        int flags = Linux.MSG_DONTWAIT | Linux.MSG_NOSIGNAL;
        int socket = operation.descriptor;
        return switch (operation.kind) {
            case ACCEPT -> Linux.accept(socket);
            case CONNECT -> connectNow(operation, first);
            case RECEIVE -> Linux.receive(socket, operation.address, operation.length, Linux.MSG_DONTWAIT);
            case RECEIVE_FULLY, SEND -> attemptAll(operation);
            case SEND_VECTORS -> Linux.sendMessage(socket, operation.address, flags);
            case AWAIT_WRITABLE -> writableNow(socket);
            case NONE -> throw new IllegalStateException("not a socket operation");
        };
    }

    private int connectNow(IoOperation operation, boolean first) {
        if (!first) {
            return writableNow(operation.descriptor) == -Errno.EAGAIN
                    ? -Errno.EAGAIN
                    : Sockets.takeError(operation.descriptor);
        }
        int result = Linux.connect(operation.descriptor, operation.address, operation.length);
        return result == -Errno.EINPROGRESS ? -Errno.EAGAIN : result;
    }

    private int attemptAll(IoOperation operation) {
        boolean receiving = operation.kind == IoOperation.Kind.RECEIVE_FULLY;
        while (operation.done < operation.length) {
            long address = operation.address + operation.done;
            int length = operation.length - operation.done;
            int moved = receiving
                    ? Linux.receive(operation.descriptor, address, length, Linux.MSG_DONTWAIT)
                    : Linux.send(operation.descriptor, address, length, Linux.MSG_DONTWAIT | Linux.MSG_NOSIGNAL);
            if (moved == -Errno.EAGAIN) {
                return moved;
            }
            if (moved < 0) {
                return moved;
            }
            if (moved == 0) {
                break;
            }
            operation.done += moved;
        }
        return operation.done;
    }

    private int writableNow(int socket) {
        Memory.put(scratch + 32, socket);
        Memory.put(scratch + 36, (int) (short) OUT);
        int ready = Linux.pollNow(scratch + 32);
        return ready == 0 ? -Errno.EAGAIN : ready < 0 ? ready : 0;
    }

    // ---- sockets

    @Override
    public void accept(int listener, IoOperation operation) {
        submit(IoOperation.Kind.ACCEPT, listener, 0, 0, operation);
    }

    @Override
    public void connect(int socket, long address, int length, IoOperation operation) {
        submit(IoOperation.Kind.CONNECT, socket, address, length, operation);
    }

    @Override
    public void receive(int socket, long address, int length, IoOperation operation) {
        submit(IoOperation.Kind.RECEIVE, socket, address, length, operation);
    }

    @Override
    public void receiveFully(int socket, long address, int length, IoOperation operation) {
        submit(IoOperation.Kind.RECEIVE_FULLY, socket, address, length, operation);
    }

    @Override
    public void send(int socket, long address, int length, IoOperation operation) {
        submit(IoOperation.Kind.SEND, socket, address, length, operation);
    }

    @Override
    public void sendVectors(int socket, long vectors, int count, IoOperation operation) {
        if (operation.message == 0) {
            operation.message = Linux.mapPages(4096);
        }
        RingLoop.message(operation.message, vectors, count);
        submit(IoOperation.Kind.SEND_VECTORS, socket, operation.message, 0, operation);
    }

    @Override
    public void awaitWritable(int socket, IoOperation operation) {
        submit(IoOperation.Kind.AWAIT_WRITABLE, socket, 0, 0, operation);
    }

    // ---- files

    @Override
    public void read(int file, long position, long address, int length, IoOperation operation) {
        WorkerTask.read(this, file, position, address, length, operation);
    }

    @Override
    public void write(int file, long position, long address, int length, IoOperation operation) {
        WorkerTask.write(this, file, position, address, length, operation);
    }

    @Override
    public void dataSync(int file, IoOperation operation) {
        WorkerTask.dataSync(this, file, operation);
    }

    @Override
    public void allocate(int file, int mode, long position, long length, IoOperation operation) {
        WorkerTask.allocate(this, file, mode, position, length, operation);
    }

    @Override
    public void cancel(IoOperation operation) {
        int descriptor = operation.descriptor;
        if (operation.slot < 0 || operation.slot == OUTSIDE) {
            return;
        }
        @Nullable IoOperation[] table = isReading(operation.kind) ? readers : writers;
        if (table[descriptor] == operation) {
            table[descriptor] = null;
            end(operation, -Errno.ECANCELED);
        }
    }
}
