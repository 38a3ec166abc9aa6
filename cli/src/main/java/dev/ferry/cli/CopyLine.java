package dev.ferry.cli;

import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * How a one-shot copy comes along: on a terminal a line that changes, elsewhere a line every few seconds. It is told from a thread
 * of its own, between the making of this and {@link #close}.
 */
final class CopyLine implements AutoCloseable {
    private static final long TERMINAL_MILLIS = 200;
    private static final long PLAIN_MILLIS = 5000;
    private static final double NANOS_PER_SECOND = 1e9;

    private final Screen screen;
    private final long totalBytes;
    private final LongSupplier doneBytes;
    private final long beganNanos = System.nanoTime();
    private final CountDownLatch ended = new CountDownLatch(1);
    private final Thread thread;

    /** @param silent nothing is told */
    CopyLine(Screen screen, boolean silent, long totalBytes, LongSupplier doneBytes) {
        this.screen = screen;
        this.totalBytes = totalBytes;
        this.doneBytes = doneBytes;
        this.thread = Thread.ofVirtual().unstarted(this::tell);
        if (!silent) {
            thread.start();
        }
    }

    private void tell() {
        boolean told = false;
        try {
            while (!ended.await(screen.terminal() ? TERMINAL_MILLIS : PLAIN_MILLIS, TimeUnit.MILLISECONDS)) {
                String line = line(doneBytes.getAsLong(), totalBytes, System.nanoTime() - beganNanos);
                told = true;
                if (screen.terminal()) {
                    screen.out().print("\r\u001b[K" + line);
                    screen.out().flush();
                } else {
                    screen.print(line);
                }
            }
        } catch (InterruptedException _) {
            Thread.currentThread().interrupt();
        }
        if (told && screen.terminal()) {
            screen.out().print("\r\u001b[K");
            screen.out().flush();
        }
    }

    /** Such as {@code 42 %  1.2 GiB of 3 GiB  210 MiB/s  9 s left}. */
    static String line(long done, long total, long nanos) {
        long perSecond = nanos <= 0 ? 0 : Math.round(done / (nanos / NANOS_PER_SECOND));
        String left = perSecond == 0 ? "" : "  " + Quantities.time((total - done) / perSecond) + " left";
        long percent = total == 0 ? 100 : (long) (100.0 * done / total);
        return String.format(
                Locale.ROOT,
                "%d %%  %s of %s  %s%s",
                percent,
                Quantities.size(done),
                Quantities.size(total),
                Quantities.rate(perSecond),
                left);
    }

    @Override
    public void close() {
        ended.countDown();
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
