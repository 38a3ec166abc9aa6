package dev.ferry.reactor;

/**
 * One operation on an {@link EventLoop}, made once and used again: extend it, keep it, and hand it to the loop with each
 * submission. It may be in flight once at a time. Belongs to the loop's thread.
 */
public abstract class IoOperation {
    /** Where the loop knows this operation by while it is in flight, or -1. */
    int slot = -1;

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
