package dev.ferry.filter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.assertj.core.data.Percentage;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What was counted is what happened, on a disk that takes exactly as long as it is told to. */
class StatsTest {
    private static final long MICRO = 1_000;
    private static final long SECOND = 1_000_000_000;
    private static final double EXACT_PERCENT = 1;

    private final SimLoop loop = new SimLoop(1);
    private final Fault fault = new Fault(new MemoryDisk(1 << 20), "disk", new SplittableRandom(1));
    private final Delay delay = new Delay(loop, fault, new SplittableRandom(2));
    private final Stats stats = new Stats(loop, delay);
    private final IoBuffer buffer = IoBuffer.allocate(8192);
    private final List<@Nullable BlockError> ends = new ArrayList<>();

    private void read(long nanos) {
        delay.delay(nanos, 0);
        stats.read(0, buffer, 0, 4096, ends::add);
        loop.run();
    }

    private static void assertAbout(long measured, long expected) {
        assertThat(measured).isCloseTo(expected, Percentage.withPercentage(EXACT_PERCENT));
    }

    @Test
    void percentilesAreThoseOfWhatPassed() {
        for (int i = 1; i <= 1000; i++) {
            read(i * MICRO);
        }
        StatsSnapshot.Operation reads = stats.snapshot().read();
        assertThat(reads.count()).isEqualTo(1000);
        assertThat(reads.bytes()).isEqualTo(1000 * 4096);
        assertThat(reads.errors()).isZero();
        StatsSnapshot.Latency all = reads.all();
        assertThat(all.count()).isEqualTo(1000);
        assertAbout(all.p50Nanos(), 500 * MICRO);
        assertAbout(all.p99Nanos(), 990 * MICRO);
        assertAbout(all.p999Nanos(), 999 * MICRO);
        assertAbout(all.maxNanos(), 1000 * MICRO);
    }

    @Test
    void oneThatTookVeryLongIsTheMaximumAndNoPercentile() {
        for (int i = 0; i < 9_999; i++) {
            read(100 * MICRO);
        }
        read(2 * SECOND);
        StatsSnapshot.Latency all = stats.snapshot().read().all();
        assertAbout(all.p999Nanos(), 100 * MICRO);
        assertAbout(all.maxNanos(), 2 * SECOND);
    }

    @Test
    void kindsAreCountedApartAndErrorsBringNoBytes() {
        read(MICRO);
        delay.delay(0, 0);
        stats.write(0, buffer, 0, 8192, 0, ends::add);
        stats.writeZeroes(0, 65536, 0, ends::add);
        stats.discard(0, 131072, 0, ends::add);
        stats.flush(ends::add);
        fault.rule(FaultRule.fail(FaultRule.WRITE, ErrorKind.IO));
        stats.write(0, buffer, 0, 8192, 0, ends::add);
        loop.run();
        StatsSnapshot snapshot = stats.snapshot();
        assertThat(snapshot.count()).isEqualTo(6);
        assertThat(snapshot.read().bytes()).isEqualTo(4096);
        assertThat(snapshot.write().count()).isEqualTo(2);
        assertThat(snapshot.write().bytes()).isEqualTo(8192);
        assertThat(snapshot.write().errors()).isEqualTo(1);
        assertThat(snapshot.zero().bytes()).isEqualTo(65536);
        assertThat(snapshot.discard().bytes()).isEqualTo(131072);
        assertThat(snapshot.flush().count()).isEqualTo(1);
        assertThat(ends.stream().filter(end -> end != null)).hasSize(1);
    }

    @Test
    void theRecentPastIsForgottenAfterTwoSecondsAndTheWholeIsNot() {
        read(900 * MICRO);
        loop.runFor(SECOND);
        read(100 * MICRO);
        StatsSnapshot.Operation soon = stats.snapshot().read();
        assertThat(soon.recent().count()).isEqualTo(2);
        loop.runFor(SECOND);
        read(100 * MICRO);
        StatsSnapshot later = stats.snapshot();
        assertThat(later.read().recent().count()).isEqualTo(2);
        assertAbout(later.read().recent().maxNanos(), 100 * MICRO);
        assertAbout(later.read().all().maxNanos(), 900 * MICRO);
        assertThat(later.recentNanos()).isBetween(SECOND, 2 * SECOND);
        loop.runFor(10 * SECOND);
        StatsSnapshot last = stats.snapshot();
        assertThat(last.read().recent().count()).isZero();
        assertThat(last.read().all().count()).isEqualTo(3);
        assertThat(last.elapsedNanos()).isCloseTo(12 * SECOND, within(SECOND / 100));
    }

    @Test
    void whatTheFrontEndServedItselfCountsToo() {
        stats.located(0, 262144, 40 * MICRO);
        StatsSnapshot.Operation reads = stats.snapshot().read();
        assertThat(reads.bytes()).isEqualTo(262144);
        assertAbout(reads.all().p50Nanos(), 40 * MICRO);
    }
}
