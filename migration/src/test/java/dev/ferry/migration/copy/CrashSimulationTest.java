package dev.ferry.migration.copy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.filter.mirror.PlantedStepBug;
import java.security.SecureRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Moves whose process or whose power goes away at any instant; and records that break a promise, each of which is caught. */
class CrashSimulationTest {
    private static final long RUN_NANOS = 12_000_000_000L;
    private static final int SEEDS_FIXED = 60;
    private static final int SEEDS_CANARY = 1500;

    /** The same seeds every time, then as many new ones as time allows; {@code -Dferry.seed} repeats one. */
    @Test
    void everyMoveGoesOnAsItMust() {
        Long given = Long.getLong("ferry.seed");
        if (given != null) {
            SimulatedCrashes.run(given, PlantedStepBug.NONE);
            return;
        }
        long begin = System.nanoTime();
        long fresh = new SecureRandom().nextInt();
        long count = 0;
        while (count < SEEDS_FIXED || System.nanoTime() - begin < RUN_NANOS) {
            SimulatedCrashes.run(count < SEEDS_FIXED ? count : fresh + count, PlantedStepBug.NONE);
            count++;
        }
        System.out.printf("%d moves, %.0f a minute%n", count, count * 60e9 / (System.nanoTime() - begin));
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NONE")
    void aPlantedBugIsCaught(PlantedStepBug bug) {
        String caught = null;
        int seeds = 0;
        while (caught == null && seeds < SEEDS_CANARY) {
            try {
                SimulatedCrashes.run(seeds, bug);
            } catch (AssertionError failure) {
                caught = failure.getMessage();
            }
            seeds++;
        }
        assertThat(caught).as("%s after %d seeds", bug, seeds).isNotNull();
        System.out.printf("%s caught after %d seeds: %s%n", bug, seeds, caught);
    }
}
