package dev.ferry.cli;

import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import java.util.function.Supplier;

/**
 * How a one-shot copy comes along: on a terminal a line that changes, elsewhere a line every few seconds. It is told from a thread
 * of its own, between the making of this and {@link #close}.
 */
final class CopyLine implements AutoCloseable {
    private static final long TERMINAL_MILLIS = 200;
    private static final long PLAIN_MILLIS = 5000;
    private static final double NANOS_PER_SECOND = 1e9;

    private final Screen screen;
    private final Supplier<String> line;
    private final CountDownLatch ended = new CountDownLatch(1);
    private final Thread thread;

    /** @param silent nothing is told */
    CopyLine(Screen screen, boolean silent, long totalBytes, LongSupplier doneBytes) {
        this(screen, silent, since(System.nanoTime(), totalBytes, doneBytes));
    }

    /** @param line what is to be told, on the thread of this; empty: nothing yet */
    CopyLine(Screen screen, boolean silent, Supplier<String> line) {
        this.screen = screen;
        this.line = line;
        this.thread = Thread.ofVirtual().unstarted(this::tell);
        if (!silent) {
            thread.start();
        }
    }

    private static Supplier<String> since(long beganNanos, long totalBytes, LongSupplier doneBytes) {
        return () -> line(doneBytes.getAsLong(), totalBytes, System.nanoTime() - beganNanos);
    }

    private void tell() {
        boolean told = false;
        try {
            while (!ended.await(screen.terminal() ? TERMINAL_MILLIS : PLAIN_MILLIS, TimeUnit.MILLISECONDS)) {
                String now = line.get();
                if (now.isEmpty()) {
                    continue;
                }
                told = true;
                if (screen.terminal()) {
                    screen.out().print("\r\u001b[K" + now);
                    screen.out().flush();
                } else {
                    screen.print(now);
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
        return line(done, total, done, nanos);
    }

    /** @param seen what of it was done in that time */
    static String line(long done, long total, long seen, long nanos) {
        long perSecond = nanos <= 0 ? 0 : Math.round(seen / (nanos / NANOS_PER_SECOND));
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
