package dev.ferry.reactor;

import java.util.concurrent.Executor;

/**
 * A thread that waits for many things at once and does what follows from them: sockets, files, timers, and commands
 * from other threads.
 *
 * <p><b>Thread.</b> {@link #execute}, {@link #inLoop}, {@link #nanoTime}, {@link #name} and {@link #close} may be called
 * from anywhere; everything else only on the loop's own thread. Operations are submitted with an {@link IoOperation}
 * and complete later through it. Descriptors are plain numbers; sockets must be non-blocking. Memory is named by
 * address and must stay valid until the operation has ended. Results are those of the system call: bytes or 0, or an
 * errno below zero.
 */
public abstract class EventLoop implements Executor, AutoCloseable {
    /** How this loop waits: {@code io_uring} or {@code epoll}. */
    public abstract String name();

    /** Runs a command on the loop's thread, in the order of submission from one thread. After close it is refused. */
    @Override
    public abstract void execute(Runnable command);

    public abstract boolean inLoop();

    /** Nanoseconds since some fixed instant. */
    public long nanoTime() {
        return System.nanoTime();
    }

    /** Runs a task once, not before {@code delayNanos} from now. */
    public abstract Timer schedule(long delayNanos, Runnable task);

    /** A clock for a task that runs again and again, each time at an instant that is set anew: to set it allocates nothing. */
    public abstract Alarm alarm(Runnable task);

    /** A task, and when it runs next; on the loop's thread. */
    public interface Alarm {
        /** Has the task run once, not before {@code delayNanos} from now; what was set before holds no more. */
        void set(long delayNanos);

        /** The task does not run until it is set again. */
        void cancel();
    }

    /** A task that was scheduled; cancelled on the loop's thread. */
    public interface Timer {
        void cancel();
    }

    // ---- sockets

    /** Waits for a connection; the result is its descriptor, non-blocking and close-on-exec. */
    public abstract void accept(int listener, IoOperation operation);

    /** Connects a non-blocking socket to the address in memory, as of connect(2). */
    public abstract void connect(int socket, long address, int length, IoOperation operation);

    /** Receives up to {@code length} bytes, at least one; 0 at the end of the stream. */
    public abstract void receive(int socket, long address, int length, IoOperation operation);

    /** Receives exactly {@code length} bytes; fewer only at the end of the stream or with an error. */
    public abstract void receiveFully(int socket, long address, int length, IoOperation operation);

    /** Sends exactly {@code length} bytes; fewer only with an error. */
    public abstract void send(int socket, long address, int length, IoOperation operation);

    /**
     * Sends {@code count} pieces of memory, whole, as one message; the result may be less than their sum, and the
     * caller then sends the rest. An iovec is an address and a length of 8 bytes each.
     */
    public abstract void sendVectors(int socket, long vectors, int count, IoOperation operation);

    /** Waits until the socket takes bytes again. */
    public abstract void awaitWritable(int socket, IoOperation operation);

    // ---- files

    /** Reads from a position, as pread(2); 0 past the end of the file. */
    public abstract void read(int file, long position, long address, int length, IoOperation operation);

    /** Writes at a position, as pwrite(2). */
    public abstract void write(int file, long position, long address, int length, IoOperation operation);

    /** Makes a file's data durable, and of its metadata what is needed to find it: fdatasync(2). */
    public abstract void dataSync(int file, IoOperation operation);

    /** Allocates, zeroes or frees a range: fallocate(2). */
    public abstract void allocate(int file, int mode, long position, long length, IoOperation operation);

    /** Runs blocking work on another thread; its result completes the operation. For rare things only. */
    public abstract void offload(BlockingWork work, IoOperation operation);

    /** Work that may block; gives a result as a system call would. */
    @FunctionalInterface
    public interface BlockingWork {
        int run();
    }

    /** Asks for an operation in flight to end early; it then completes with {@link Errno#ECANCELED} or its result. */
    public abstract void cancel(IoOperation operation);

    /**
     * Marks an operation as in flight that no kernel knows of, for a layer that makes one operation of several, as TLS
     * does. It ends by {@link #end}; {@link #cancel} means nothing to it.
     */
    public abstract void hold(IoOperation operation);

    /** Ends an operation that was held, or that never was in flight; its completion runs later in this turn. */
    public abstract void end(IoOperation operation, int result);

    /**
     * Tells the kernel of memory that most I/O will use, so that it need not map it for each request. Only a loop on
     * io_uring makes use of it; called once, before I/O.
     *
     * @return true if it was taken
     */
    public boolean registerMemory(long address, long length) {
        return false;
    }

    /**
     * Ends the loop: commands submitted before still run, operations in flight are abandoned, the thread ends. Waits for
     * it, unless called on it.
     */
    @Override
    public abstract void close();
}
