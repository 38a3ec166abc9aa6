package dev.ferry.block;

import org.jspecify.annotations.Nullable;

/**
 * How a request ends. On the hot path the requester keeps pooled objects that implement this, so that a request
 * allocates nothing.
 */
@FunctionalInterface
public interface Completion {
    /**
     * Called exactly once for a request, on the thread of the device's loop.
     *
     * @param error null if the request succeeded
     */
    void complete(@Nullable BlockError error);
}
