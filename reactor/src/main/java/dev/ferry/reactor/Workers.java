package dev.ferry.reactor;

import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Threads for calls that block: what io_uring cannot do, and, where there is no io_uring, file I/O. Platform threads,
 * because a blocking call holds the carrier of a virtual one. They go away when there is nothing to do.
 *
 * <p>The queue is a list through the tasks themselves, under a monitor: neither allocates, waited for or not. It needs no
 * bound of its own, since an operation is in it once.
 */
final class Workers {
    private static final int MOST_THREADS = 16;
    private static final long IDLE_MILLIS_MAX = 10_000;
    private static final Workers ALL = new Workers();

    private @Nullable WorkerTask first;
    private @Nullable WorkerTask last;
    private int queued;
    private int waiting;
    private int threads;
    private long started;

    private Workers() {}

    static void run(WorkerTask task) {
        ALL.add(task);
    }

    private synchronized void add(WorkerTask task) {
        WorkerTask before = last;
        if (before == null) {
            first = task;
        } else {
            before.next = task;
        }
        last = task;
        queued++;
        if (queued <= waiting) {
            notify();
        } else if (threads < MOST_THREADS) {
            threads++;
            Thread.ofPlatform().daemon(true).name("ferry-worker-" + started++).start(this::work);
        }
    }

    private void work() {
        for (WorkerTask task = next(); task != null; task = next()) {
            task.work();
        }
    }

    /** The next task; null if there was none for long, and the thread is to end. */
    private synchronized @Nullable WorkerTask next() {
        long sinceNanos = System.nanoTime();
        while (first == null) {
            if (System.nanoTime() - sinceNanos >= TimeUnit.MILLISECONDS.toNanos(IDLE_MILLIS_MAX)) {
                threads--;
                return null;
            }
            waiting++;
            try {
                wait(IDLE_MILLIS_MAX);
            } catch (InterruptedException nobodyDoes) {
                throw new IllegalStateException("a worker was interrupted", nobodyDoes);
            } finally {
                waiting--;
            }
        }
        WorkerTask task = Objects.requireNonNull(first);
        first = task.next;
        task.next = null;
        if (first == null) {
            last = null;
        }
        queued--;
        return task;
    }
}
