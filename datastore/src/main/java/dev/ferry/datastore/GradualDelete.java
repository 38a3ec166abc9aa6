package dev.ferry.datastore;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Deletes a file at once and gives its room back afterwards, in slices, resting for three times as long as each took. A
 * file system that discards what it frees, or has a long journal to write for it, otherwise stops every guest on it
 * until the whole file is gone.
 *
 * <p>The name goes first, so that a crash leaves nothing: what is left of a file without a name goes with the last
 * descriptor, which is that of this process. A file with other names keeps its content.
 *
 * <p>Thread: any. One thread of the process, which it may end without, frees file after file.
 */
final class GradualDelete {
    private static final long SLICE_BYTES_MIN = 1L << 20;
    private static final long SLICE_BYTES_MAX = 1L << 30;
    private static final long SLICE_NANOS = 2_000_000;
    private static final int REST_FACTOR = 3;

    private static final ThreadPoolExecutor FREEING = freeing();

    private GradualDelete() {}

    private static ThreadPoolExecutor freeing() {
        ThreadPoolExecutor one = new ThreadPoolExecutor(
                1,
                1,
                1,
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(),
                work -> Thread.ofPlatform().name("freeing").daemon().unstarted(work));
        one.allowCoreThreadTimeOut(true);
        return one;
    }

    /** @return whether it was there */
    static boolean delete(Path file) throws IOException {
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
                || !Files.isWritable(file)
                || !Integer.valueOf(1).equals(Files.getAttribute(file, "unix:nlink", LinkOption.NOFOLLOW_LINKS))) {
            return Files.deleteIfExists(file);
        }
        FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
        boolean there = false;
        try {
            there = Files.deleteIfExists(file);
        } finally {
            if (there) {
                FREEING.execute(() -> free(channel));
            } else {
                channel.close();
            }
        }
        return there;
    }

    /**
     * Waits until the room of all that has been deleted is back.
     *
     * @return whether it is
     */
    static boolean awaitFreed(Duration limit) {
        CountDownLatch reached = new CountDownLatch(1);
        FREEING.execute(reached::countDown);
        try {
            return reached.await(limit.toNanos(), TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /**
     * Closing the file frees what slices could not: a failure costs nothing but the gentleness. The clock is the machine's
     * own and no parameter: what is timed is its file system, and nothing but the rest depends on it.
     */
    private static void free(FileChannel file) {
        try (FileChannel channel = file) {
            long slice = SLICE_BYTES_MIN;
            for (long size = channel.size(); size > 0; ) {
                size = Math.max(0, size - slice);
                long begin = System.nanoTime();
                channel.truncate(size);
                long took = System.nanoTime() - begin;
                slice = took > SLICE_NANOS
                        ? Math.max(SLICE_BYTES_MIN, slice / 2)
                        : Math.min(SLICE_BYTES_MAX, slice * 2);
                LockSupport.parkNanos(REST_FACTOR * took);
            }
        } catch (IOException slicesFailed) {
            // Closed by now, and with it freed.
        }
    }
}
