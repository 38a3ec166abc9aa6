package dev.ferry.migration.copy;

import dev.ferry.filter.mirror.PlantedBug;

/**
 * Runs simulated moves from a range of seeds.
 *
 * <p>As a program: {@code Simulation FROM COUNT [BUG]}, on the test class path of this module; prints the seed of every
 * run that fails and ends with status 1 if there was one. A single seed is repeated by {@code Simulation SEED 1}.
 */
public final class Simulation {
    private Simulation() {}

    public static void main(String[] arguments) {
        long from = Long.parseLong(arguments[0]);
        long count = Long.parseLong(arguments[1]);
        PlantedBug bug = arguments.length > 2 ? PlantedBug.valueOf(arguments[2]) : PlantedBug.NONE;
        long begin = System.nanoTime();
        int failures = 0;
        for (long seed = from; seed < from + count; seed++) {
            try {
                SimulatedMove.run(seed, bug);
            } catch (AssertionError | RuntimeException failure) {
                failures++;
                System.out.println(failure.getMessage());
                if (count == 1) {
                    failure.printStackTrace(System.out);
                }
            }
        }
        double minutes = (System.nanoTime() - begin) / 60e9;
        System.out.printf("%d seeds, %d failed, %.0f seeds a minute%n", count, failures, count / minutes);
        System.exit(failures == 0 ? 0 : 1);
    }
}
