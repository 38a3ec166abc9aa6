package dev.ferry.migration.copy;

import dev.ferry.filter.mirror.PlantedBug;
import dev.ferry.filter.mirror.PlantedStepBug;

/**
 * Runs simulated moves from a range of seeds, each of them three times: with a switch or a cancel at the end; with crashes
 * and losses of power on the way; and there and back again.
 *
 * <p>As a program, {@code ./trial simulate RUNS [FROM]}: prints the seed of every run that fails, and ends with status 1 if
 * there was one. A single seed is repeated by {@code ./trial simulate 3 SEED}.
 */
public final class Simulation {
    private static final long TELL_EVERY = 10_000;

    private final long begin = System.nanoTime();
    private long runs;
    private long failures;

    private Simulation() {}

    public static void main(String[] arguments) {
        long count = Long.parseLong(arguments[0]);
        long from = arguments.length > 1 ? Long.parseLong(arguments[1]) : 0;
        Simulation simulation = new Simulation();
        for (long seed = from; simulation.runs < count; seed++) {
            long one = seed;
            simulation.run(count, () -> SimulatedMove.run(one, PlantedBug.NONE));
            simulation.run(count, () -> SimulatedCrashes.run(one, PlantedStepBug.NONE));
            simulation.run(count, () -> SimulatedWayBack.run(one, SimulatedWayBack.Bug.NONE, PlantedStepBug.NONE));
        }
        simulation.tell();
        System.exit(simulation.failures == 0 ? 0 : 1);
    }

    private void run(long count, Runnable move) {
        if (runs == count) {
            return;
        }
        runs++;
        try {
            move.run();
        } catch (AssertionError | RuntimeException failure) {
            failures++;
            System.out.println(failure.getMessage());
            if (count <= 3) {
                failure.printStackTrace(System.out);
            }
        }
        if (runs % TELL_EVERY == 0 && runs < count) {
            tell();
        }
    }

    private void tell() {
        double minutes = (System.nanoTime() - begin) / 60e9;
        System.out.printf("%,d runs, %d failed, %,.0f a minute%n", runs, failures, runs / minutes);
    }
}
