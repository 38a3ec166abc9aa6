package dev.ferry.migration.copy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.filter.mirror.PlantedStepBug;
import java.security.SecureRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Ways back whose process or power goes away at any instant; and ones that break a promise, each of which is caught. */
class WayBackSimulationTest {
    private static final long RUN_NANOS = 6_000_000_000L;
    private static final int SEEDS_FIXED = 60;
    private static final int SEEDS_CANARY = 2000;

    /** The same seeds every time, then as many new ones as time allows; {@code -Dferry.seed} repeats one. */
    @Test
    void everyGuestThatGoesBackFindsWhatItWrote() {
        Long given = Long.getLong("ferry.seed");
        if (given != null) {
            SimulatedWayBack.run(given, SimulatedWayBack.Bug.NONE, PlantedStepBug.NONE);
            return;
        }
        long begin = System.nanoTime();
        long fresh = new SecureRandom().nextInt();
        long count = 0;
        while (count < SEEDS_FIXED || System.nanoTime() - begin < RUN_NANOS) {
            SimulatedWayBack.run(
                    count < SEEDS_FIXED ? count : fresh + count, SimulatedWayBack.Bug.NONE, PlantedStepBug.NONE);
            count++;
        }
        System.out.printf("%d ways back, %.0f a minute%n", count, count * 60e9 / (System.nanoTime() - begin));
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NONE")
    void aBugOfTheWayBackIsCaught(SimulatedWayBack.Bug bug) {
        assertCaught(bug, PlantedStepBug.NONE);
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NONE")
    void aBugOfTheRecordIsCaughtOnTheWayBackToo(PlantedStepBug bug) {
        assertCaught(SimulatedWayBack.Bug.NONE, bug);
    }

    private static void assertCaught(SimulatedWayBack.Bug bug, PlantedStepBug stepBug) {
        String caught = null;
        int seeds = 0;
        while (caught == null && seeds < SEEDS_CANARY) {
            try {
                SimulatedWayBack.run(seeds, bug, stepBug);
            } catch (AssertionError failure) {
                caught = failure.getMessage();
            }
            seeds++;
        }
        assertThat(caught).as("%s, %s after %d seeds", bug, stepBug, seeds).isNotNull();
        System.out.printf("%s, %s caught after %d seeds: %s%n", bug, stepBug, seeds, caught);
    }
}
