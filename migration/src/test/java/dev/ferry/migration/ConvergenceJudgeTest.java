package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Seeds;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** What is said of a guest and a copy, from traces of a simple model of both. */
class ConvergenceJudgeTest {
    private static final long TICK = 200_000_000L;
    private static final long MIB = 1 << 20;
    private static final long MAX_DOWNTIME = 300_000_000L;

    /** A guest that changes so much a second of so much, and a copy that makes so much a second, both with noise. */
    private static final class Trace {
        final ConvergenceJudge judge = new ConvergenceJudge(MAX_DOWNTIME);
        final SplittableRandom random;
        final double copyPerSecond;
        final double dirtyPerSecond;
        final double workingSet;
        double left;
        long now = 1_000_000_000_000L;
        int ticks;

        Trace(long seed, double copyPerSecond, double dirtyPerSecond, double workingSet, double size) {
            this.random = new SplittableRandom(seed);
            this.copyPerSecond = copyPerSecond;
            this.dirtyPerSecond = dirtyPerSecond;
            this.workingSet = workingSet;
            this.left = size;
        }

        boolean step() {
            double seconds = TICK / 1e9;
            double copied = Math.min(left, copyPerSecond * seconds * (0.8 + 0.4 * random.nextDouble()));
            left -= copied;
            double clean = Math.max(0, workingSet - left);
            left += Math.min(clean, dirtyPerSecond * seconds * clean / workingSet * (0.8 + 0.4 * random.nextDouble()));
            now += TICK;
            ticks++;
            judge.add(new ConvergenceJudge.Sample(
                    now,
                    TICK,
                    (long) copied,
                    0,
                    0,
                    (long) Math.min(dirtyPerSecond, workingSet),
                    (long) left,
                    0,
                    2_000_000,
                    ticks > 20 ? 2 : 1));
            return judge.downtimeNanos((long) left, 0) <= MAX_DOWNTIME;
        }
    }

    @Test
    void aCopyThatIsFasterGetsThereAndNobodyIsWarned() {
        Seeds.run(20, seed -> {
            Trace trace = new Trace(seed, 200 * MIB, 40 * MIB, 512 * MIB, 2048 * MIB);
            boolean there = false;
            for (int i = 0; i < 300 && !there; i++) {
                there = trace.step();
                assertThat(trace.judge.verdict().converges())
                        .as("after %d ticks", i)
                        .isTrue();
                assertThat(trace.judge.verdict().advice()).isNull();
            }
            assertThat(there).isTrue();
        });
    }

    @Test
    void aGuestThatIsFasterIsToldOfWithBothRates() {
        Seeds.run(20, seed -> {
            Trace trace = new Trace(seed, 60 * MIB, 80 * MIB, 1024 * MIB, 400 * MIB);
            for (int i = 0; i < 150; i++) {
                trace.step();
            }
            Convergence verdict = trace.judge.verdict().of("m7");
            assertThat(verdict.converges()).isFalse();
            assertThat(verdict.advice())
                    .matches("will not converge: guest dirties 80 MiB/s, the copy makes [56][0-9];"
                            + " change with 'ferry migration mode m7 mirror'");
        });
    }

    @Test
    void aSmallSetThatIsAlwaysDirtyIsToldOfByItsSize() {
        Seeds.run(20, seed -> {
            Trace trace = new Trace(seed, 100 * MIB, 2000 * MIB, 64 * MIB, 300 * MIB);
            for (int i = 0; i < 150; i++) {
                trace.step();
            }
            Convergence verdict = trace.judge.verdict();
            assertThat(verdict.converges()).isFalse();
            assertThat(verdict.advice()).contains("guest keeps ").contains(" ms of the 300 allowed");
        });
    }

    @Test
    void aGuestThatCalmsDownIsNotWarnedOfAnyMore() {
        Trace fast = new Trace(5, 60 * MIB, 80 * MIB, 1024 * MIB, 400 * MIB);
        for (int i = 0; i < 150; i++) {
            fast.step();
        }
        assertThat(fast.judge.verdict().converges()).isFalse();
        fast.left = 10 * MIB;
        fast.step();
        assertThat(fast.judge.verdict().converges()).isTrue();
        assertThat(fast.judge.verdict().advice()).isNull();
    }

    @Test
    void nothingIsSaidBeforeTheFirstPassIsOverOrAfterAPause() {
        Trace trace = new Trace(6, 60 * MIB, 80 * MIB, 1024 * MIB, 400 * MIB);
        for (int i = 0; i < 150; i++) {
            trace.step();
        }
        trace.judge.interrupt();
        assertThat(trace.judge.verdict().converges()).isTrue();
        for (int i = 0; i < 20; i++) {
            trace.step();
            assertThat(trace.judge.verdict().converges()).isTrue();
        }
    }
}
