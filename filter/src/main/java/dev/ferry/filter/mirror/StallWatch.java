package dev.ferry.filter.mirror;

import dev.ferry.block.Loop;

/**
 * Looks, at the latest when the bound has passed for the oldest of them, at whether something waits for too long. One
 * timer at a time, and none while nothing is in flight: a request costs a branch.
 */
final class StallWatch {
    /** Looks, and tells since when the oldest of what still waits has been waiting. */
    @FunctionalInterface
    interface Check {
        /** @return an instant, or {@link Long#MAX_VALUE} if nothing waits */
        long oldestNanos(long nowNanos);
    }

    private final Loop loop;
    private final long boundNanos;
    private final Check check;
    private final Runnable look = this::look;
    private boolean armed;

    StallWatch(Loop loop, long boundNanos, Check check) {
        this.loop = loop;
        this.boundNanos = boundNanos;
        this.check = check;
    }

    /** Something waits from now on. */
    void arm() {
        if (!armed) {
            armed = true;
            loop.schedule(boundNanos, look);
        }
    }

    private void look() {
        armed = false;
        long now = loop.nanoTime();
        long oldest = check.oldestNanos(now);
        if (oldest != Long.MAX_VALUE && !armed) {
            armed = true;
            loop.schedule(Math.max(1, oldest + boundNanos - now), look);
        }
    }
}
