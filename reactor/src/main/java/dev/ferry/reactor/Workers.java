package dev.ferry.reactor;

import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Threads for calls that block: what io_uring cannot do, and, where there is no io_uring, file I/O. Platform threads,
 * because a blocking call holds the carrier of a virtual one. They go away when there is nothing to do.
 */
final class Workers {
    private static final int MOST_THREADS = 16;
    private static final ThreadPoolExecutor POOL = pool();

    private Workers() {}

    private static ThreadPoolExecutor pool() {
        ThreadPoolExecutor pool = new ThreadPoolExecutor(
                MOST_THREADS,
                MOST_THREADS,
                10,
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(),
                Thread.ofPlatform().daemon(true).name("ferry-worker-", 0).factory());
        pool.allowCoreThreadTimeOut(true);
        return pool;
    }

    static void run(Runnable work) {
        POOL.execute(work);
    }
}
