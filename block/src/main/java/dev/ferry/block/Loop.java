package dev.ferry.block;

import java.util.concurrent.Executor;

/**
 * The thread that a disk lives on, as its layers see it: an event loop, or the world of a simulation. It is also their
 * only clock.
 */
public interface Loop extends Executor {
    /** Runs a command on the loop's thread, after what is running there now. Any thread may call this. */
    @Override
    void execute(Runnable command);

    /** True on the loop's own thread. */
    boolean inLoop();

    /** Nanoseconds since some fixed instant; never goes back. */
    long nanoTime();

    /**
     * Runs a task once on the loop's thread, not before {@code delayNanos} from now. Called on the loop's thread.
     *
     * @return a handle to cancel it
     */
    Timer schedule(long delayNanos, Runnable task);

    /** A task that has been scheduled. */
    interface Timer {
        /** Keeps the task from running, if it has not run. Called on the loop's thread. */
        void cancel();
    }
}
