package dev.ferry.migration.copy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.SimLoop;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** How many requests are under way to a target, on a link of virtual time. */
final class FarDepthTest {
    private static final int REQUEST_BYTES = 1 << 20;
    private static final int LEAST = 4;
    private static final int MOST = 32;

    private final SimLoop loop = new SimLoop(1);
    private final FarDepth depth = new FarDepth(loop, LEAST, MOST, REQUEST_BYTES);
    private long lineFreeNanos;
    private int inFlight;
    private long answeredBytes;

    /** Keeps as many requests under way as it says, for some time; gives what part of the line was used in the last half. */
    private double fill(long seconds, long bytesPerSecond, long awayNanos) {
        long end = loop.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        long half = loop.nanoTime() + TimeUnit.SECONDS.toNanos(seconds) / 2;
        long[] halfBytes = {0};
        loop.schedule(half - loop.nanoTime(), () -> halfBytes[0] = answeredBytes);
        send(end, bytesPerSecond, awayNanos);
        loop.run();
        return (answeredBytes - halfBytes[0]) / (seconds / 2.0) / bytesPerSecond;
    }

    private void send(long end, long bytesPerSecond, long awayNanos) {
        while (inFlight < depth.depth() && loop.nanoTime() < end) {
            inFlight++;
            long sent = loop.nanoTime();
            lineFreeNanos = Math.max(lineFreeNanos, sent) + REQUEST_BYTES * 1_000_000_000L / bytesPerSecond;
            loop.schedule(lineFreeNanos + awayNanos - sent, () -> {
                inFlight--;
                answeredBytes += REQUEST_BYTES;
                depth.answered(REQUEST_BYTES, sent);
                send(end, bytesPerSecond, awayNanos);
            });
        }
    }

    @Test
    void aFarTargetGetsAsManyAsFillTheWayToIt() {
        double filled = fill(20, 125_000_000, TimeUnit.MILLISECONDS.toNanos(100));
        assertThat(filled).isGreaterThan(0.95);
        // 12.5 MB are on the way, 3.75 are slack: not many more than that.
        assertThat(depth.depth()).isBetween(13, 22);
    }

    @Test
    void aSlowLinkGetsNoMoreForBeingSlow() {
        double _ = fill(60, 5_000_000, TimeUnit.MILLISECONDS.toNanos(10));
        assertThat(depth.depth()).isEqualTo(LEAST);
    }

    @Test
    void aTargetThatIsNearGetsTheUsual() {
        double _ = fill(5, 2_000_000_000, TimeUnit.MICROSECONDS.toNanos(200));
        assertThat(depth.depth()).isEqualTo(LEAST);
    }

    @Test
    void aLullTakesAwayOneAtATime() {
        long awayNanos = TimeUnit.MILLISECONDS.toNanos(100);
        double _ = fill(20, 125_000_000, awayNanos);
        int full = depth.depth();
        for (int second = 1; second <= 3; second++) {
            loop.runFor(TimeUnit.SECONDS.toNanos(1));
            depth.answered(REQUEST_BYTES, loop.nanoTime() - awayNanos);
            assertThat(depth.depth()).isEqualTo(full - second);
        }
    }

    @Test
    void thereIsABound() {
        double _ = fill(20, 1_250_000_000, TimeUnit.MILLISECONDS.toNanos(200));
        assertThat(depth.depth()).isEqualTo(MOST);
    }
}
