package dev.ferry.migration.copy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.filter.LatencyWatch;
import dev.ferry.testkit.SimLoop;
import org.junit.jupiter.api.Test;

/**
 * The controller beside a guest whose latency follows from what the work does: a model of a disk on which every chunk in
 * flight keeps others waiting for as long as its bytes take.
 */
final class PaceControllerTest {
    private static final long SECOND = 1_000_000_000L;
    private static final long MILLI = 1_000_000L;
    private static final long FLOOR = 4L << 20;
    private static final long DISK_BYTES_PER_SECOND = 400L << 20;

    private final SimLoop loop = new SimLoop(1);
    private final LatencyWatch watch = new LatencyWatch();
    private final Work work = new Work();
    private long guestRequestsPerSecond;
    private long aloneNanos;
    /** Of each stretch of this length the last third is bad for the guest, whatever the work does; 0: none. */
    private long troubleEveryNanos;

    /** At this pace, in bytes a second, one request in a hundred is slow, at half of it one in four hundred; 0: not so. */
    private long paceOfBound;

    private double slowDue;
    private long slowSeen;
    private long requests;
    private long windows;
    private long windowsOver;

    /** Work that moves as fast as its dial says. */
    private static final class Work implements Paced {
        private int depth;
        private int chunkBytes;
        private long pace;
        private long worked;

        @Override
        public void effort(int regions, int requestBytes) {
            depth = regions;
            chunkBytes = requestBytes;
        }

        @Override
        public void pace(long bytesPerSecond) {
            pace = bytesPerSecond;
        }

        @Override
        public long workedBytes() {
            return worked;
        }

        long bytesPerSecond() {
            long unbound = DISK_BYTES_PER_SECOND * Math.min(depth, 2) / 2;
            return pace == 0 ? unbound : Math.min(pace, unbound);
        }

        boolean full() {
            return depth == 4 && chunkBytes == 1 << 20 && pace == 0;
        }

        boolean gentle() {
            return depth == 1 && chunkBytes == 256 << 10 && pace == 0;
        }
    }

    /** Lets a while pass, a hundredth of a second at a time. */
    private void pass(long nanos) {
        long end = loop.nanoTime() + nanos;
        while (loop.nanoTime() < end) {
            work.worked += work.bytesPerSecond() / 100;
            for (long i = 0; i < guestRequestsPerSecond / 100; i++) {
                watch.record(latency(++requests));
            }
            loop.runFor(SECOND / 100);
        }
    }

    /** One request in forty waits behind all chunks in flight, as long as the work is not held back by its pace. */
    private long latency(long request) {
        long behind = (long) work.depth * work.chunkBytes * SECOND / DISK_BYTES_PER_SECOND;
        long share = work.pace == 0 ? 40 : Math.max(40, 40 * (DISK_BYTES_PER_SECOND / 8) / work.pace);
        if (paceOfBound > 0) {
            double load = (double) work.bytesPerSecond() / paceOfBound;
            slowDue += Math.min(0.5, load * load / 100);
            boolean slow = slowDue >= 1;
            slowDue -= slow ? 1 : 0;
            slowSeen += slow ? 1 : 0;
            return aloneNanos + (slow ? 5 * MILLI : 0);
        }
        boolean trouble = troubleEveryNanos > 0 && loop.nanoTime() % troubleEveryNanos > troubleEveryNanos * 2 / 3;
        return aloneNanos + (request % share == 0 ? behind : 0) + (trouble && request % 10 == 0 ? 20 * MILLI : 0);
    }

    private PaceController bounded(long addedNanos) {
        return new PaceController(loop, watch, new PaceSettings(addedNanos, FLOOR));
    }

    @Test
    void besideAnIdleGuestTheWorkIsDoneInFull() {
        new PaceController(loop, watch, PaceSettings.DEFAULT).steer(work);
        assertThat(work.gentle()).as("until it is known that the guest is idle").isTrue();
        pass(SECOND);
        assertThat(work.full()).isTrue();
    }

    @Test
    void aGuestThatBeginsToWorkIsGivenRoomWithinATenthOfASecond() {
        new PaceController(loop, watch, PaceSettings.DEFAULT).steer(work);
        pass(SECOND);
        guestRequestsPerSecond = 2000;
        pass(SECOND / 10);
        assertThat(work.gentle()).isTrue();
        guestRequestsPerSecond = 0;
        pass(SECOND);
        assertThat(work.full()).isTrue();
    }

    @Test
    void theBoundIsKeptInNearlyEverySecond() {
        guestRequestsPerSecond = 5000;
        aloneNanos = MILLI / 2;
        long bound = MILLI * 6 / 5;
        bounded(bound).steer(work);
        pass(SECOND);
        long before = work.worked;
        for (int i = 0; i < 100; i++) {
            LatencyWatch second = new LatencyWatch();
            for (int j = 0; j < 10; j++) {
                pass(SECOND / 10);
                for (long k = 0; k < 500; k++) {
                    second.record(latency(k));
                }
            }
            windows++;
            windowsOver += second.p99Nanos() > aloneNanos + bound + bound / 50 ? 1 : 0;
        }
        assertThat(windowsOver).isLessThanOrEqualTo(windows);
        assertThat(work.worked - before)
                .as("and it is used: the lowest effort would have moved far less than the highest that fits")
                .isGreaterThan(100 * DISK_BYTES_PER_SECOND / 3);
    }

    @Test
    void theBoundIsFoundFromBelow() {
        guestRequestsPerSecond = 2000;
        aloneNanos = MILLI / 5;
        for (long limit : new long[] {24L << 20, 64L << 20, 150L << 20}) {
            paceOfBound = limit;
            windows = 0;
            windowsOver = 0;
            PaceController controller = bounded(2 * MILLI);
            long before = work.worked;
            controller.steer(work);
            for (int i = 0; i < 60; i++) {
                long slowBefore = slowSeen;
                pass(SECOND);
                windows++;
                windowsOver += slowSeen - slowBefore > guestRequestsPerSecond / 100 ? 1 : 0;
            }
            controller.stop();
            assertThat(windowsOver)
                    .as("seconds of 60, limit %d MiB/s", limit >> 20)
                    .isLessThanOrEqualTo(windows / 20);
            assertThat(work.worked - before)
                    .as("and it is used, limit %d MiB/s", limit >> 20)
                    .isGreaterThan(60 * limit * 9 / 20);
        }
    }

    @Test
    void aDiskThatCannotKeepTheBoundIsCopiedAtTheFloor() {
        guestRequestsPerSecond = 5000;
        aloneNanos = MILLI;
        bounded(MILLI / 100).steer(work);
        pass(2 * SECOND);
        long before = work.worked;
        pass(10 * SECOND);
        assertThat(work.worked - before).isGreaterThanOrEqualTo(10 * FLOOR * 9 / 10);
    }

    @Test
    void aGuestWhoseOwnLatencyGrowsIsMeasuredAnew() {
        guestRequestsPerSecond = 5000;
        aloneNanos = MILLI;
        PaceController controller = bounded(2 * MILLI);
        controller.steer(work);
        pass(5 * SECOND);
        assertThat(controller.baselineNanos()).isBetween(MILLI * 9 / 10, MILLI * 11 / 10);
        aloneNanos = 20 * MILLI;
        pass(2 * SECOND);
        assertThat(work.bytesPerSecond())
                .as("its own doing looks like ours at first")
                .isLessThan(64L << 20);
        pass(40 * SECOND);
        assertThat(controller.baselineNanos()).isBetween(18 * MILLI, 22 * MILLI);
        assertThat(work.bytesPerSecond()).as("not held back for it any more").isGreaterThan(128L << 20);
    }

    @Test
    void aDiskThatIsBadNowAndThenByItselfDoesNotLeaveTheWorkAtItsFloor() {
        guestRequestsPerSecond = 5000;
        aloneNanos = MILLI;
        for (long every : new long[] {2 * SECOND, 4 * SECOND, 7 * SECOND, 20 * SECOND}) {
            troubleEveryNanos = every;
            long before = work.worked;
            PaceController controller = bounded(2 * MILLI);
            controller.steer(work);
            pass(60 * SECOND);
            controller.stop();
            assertThat(work.worked - before)
                    .as("trouble every %d ms", every / MILLI)
                    .isGreaterThan(60 * DISK_BYTES_PER_SECOND / 4);
        }
    }

    @Test
    void aBoundedMoveBesideAnIdleGuestIsFastSoon() {
        bounded(MILLI).steer(work);
        pass(10 * SECOND);
        assertThat(work.full()).isTrue();
    }

    @Test
    void nothingIsTurnedAfterTheEnd() {
        PaceController controller = bounded(MILLI);
        controller.steer(work);
        controller.stop();
        work.effort(3, 64 << 10);
        pass(SECOND);
        assertThat(work.depth).isEqualTo(3);
    }
}
