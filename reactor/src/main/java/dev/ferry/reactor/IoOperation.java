package dev.ferry.reactor;

import org.jspecify.annotations.Nullable;

/**
 * One operation on an {@link EventLoop}, made once and used again: extend it, keep it, and hand it to the loop with each
 * submission. It may be in flight once at a time. Belongs to the loop's thread.
 */
public abstract class IoOperation {
    /** Where the loop knows this operation by while it is in flight, or -1. */
    int slot = -1;

    // What a loop that has to try again must remember; a ring has it in its entries.
    Kind kind = Kind.NONE;
    int descriptor;
    long address;
    int length;
    int done;
    long message;

    @Nullable
    WorkerTask task;

    /** What a socket operation is; decides what is tried when its socket is ready. */
    enum Kind {
        NONE,
        ACCEPT,
        CONNECT,
        RECEIVE,
        RECEIVE_FULLY,
        SEND,
        SEND_VECTORS,
        AWAIT_WRITABLE
    }

    /** True between submission and completion. */
    public final boolean inFlight() {
        return slot >= 0;
    }

    /**
     * Called on the loop's thread when the operation has ended, never from within the submitting call.
     *
     * @param result what the system call gave: 0 or above for success, or an errno below zero ({@link Errno})
     */
    protected abstract void completed(int result);
}
