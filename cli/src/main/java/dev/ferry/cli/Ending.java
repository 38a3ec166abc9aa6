package dev.ferry.cli;

import java.util.concurrent.CountDownLatch;

/**
 * The end of this process that a signal has begun. What a command worked with is taken away from it then, by shutdown hooks,
 * and what it would say of that is of no use to anybody. Any thread.
 */
public final class Ending {
    private Ending() {}

    /** True from the first signal on, or from the call of exit. */
    public static boolean hasBegun() {
        try {
            Runtime.getRuntime().removeShutdownHook(new Thread(() -> {}));
            return false;
        } catch (IllegalStateException begun) {
            return true;
        }
    }

    /** Stands still until the process is gone. */
    public static void await() {
        try {
            new CountDownLatch(1).await();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
