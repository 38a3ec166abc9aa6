package dev.ferry.migration.copy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.filter.mirror.PlantedBug;
import java.security.SecureRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Moves in a simulated world: the real mirror in all of them, and mirrors with a bug, each of which must be caught. */
class SimulationTest {
    private static final long RUN_NANOS = 12_000_000_000L;
    private static final int SEEDS_FIXED = 40;
    private static final int SEEDS_CANARY = 400;

    /** The same seeds every time, then as many new ones as time allows; {@code -Dferry.seed} repeats one. */
    @Test
    void everyMoveEndsAsItMust() {
        Long given = Long.getLong("ferry.seed");
        if (given != null) {
            SimulatedMove.run(given, PlantedBug.NONE);
            return;
        }
        long begin = System.nanoTime();
        long fresh = new SecureRandom().nextInt();
        long count = 0;
        while (count < SEEDS_FIXED || System.nanoTime() - begin < RUN_NANOS) {
            SimulatedMove.run(count < SEEDS_FIXED ? count : fresh + count, PlantedBug.NONE);
            count++;
        }
        System.out.printf("%d moves, %.0f a minute%n", count, count * 60e9 / (System.nanoTime() - begin));
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NONE")
    void aPlantedBugIsCaught(PlantedBug bug) {
        String caught = null;
        int seeds = 0;
        while (caught == null && seeds < SEEDS_CANARY) {
            try {
                SimulatedMove.run(seeds, bug);
            } catch (AssertionError failure) {
                caught = failure.getMessage();
            }
            seeds++;
        }
        assertThat(caught).as("%s after %d seeds", bug, seeds).isNotNull();
        System.out.printf("%s caught after %d seeds: %s%n", bug, seeds, caught);
    }

    @Test
    void aSeedRepeatsExactly() {
        String first = outcome(PlantedBug.WRITE_BEFORE_COPY);
        assertThat(outcome(PlantedBug.WRITE_BEFORE_COPY)).isEqualTo(first);
    }

    private static String outcome(PlantedBug bug) {
        StringBuilder outcomes = new StringBuilder();
        for (int seed = 0; seed < 10; seed++) {
            try {
                SimulatedMove.run(seed, bug);
            } catch (AssertionError failure) {
                outcomes.append(failure.getMessage()).append('\n');
            }
        }
        return outcomes.toString();
    }
}
