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

    /** A clock for a task that runs again and again, each time at an instant that is set anew: to set it allocates nothing. */
    Alarm alarm(Runnable task);

    /** A task, and when it runs next. Used on the loop's thread. */
    interface Alarm {
        /** Has the task run once, not before {@code delayNanos} from now; what was set before holds no more. */
        void set(long delayNanos);

        /** The task does not run until it is set again. */
        void cancel();
    }

    /** A task that has been scheduled. */
    interface Timer {
        /** Keeps the task from running, if it has not run. Called on the loop's thread. */
        void cancel();
    }
}
