package dev.ferry.testkit;

import java.security.SecureRandom;
import java.util.stream.LongStream;

/**
 * Where the seeds of random tests come from: the system property {@code ferry.seed}, so that a failure can be repeated,
 * or else chance.
 */
public final class Seeds {
    private Seeds() {}

    /** A test that runs on a seed. */
    @FunctionalInterface
    public interface SeededTest {
        void run(long seed) throws Exception;
    }

    /** Runs a test on one seed; a failure names it. */
    public static void run(SeededTest test) {
        run(1, test);
    }

    /** Runs a test on so many seeds, or on the one given by {@code ferry.seed}; a failure names its seed. */
    public static void run(int count, SeededTest test) {
        Long given = Long.getLong("ferry.seed");
        long[] seeds = given != null
                ? new long[] {given}
                : LongStream.range(0, count)
                        .map(i -> new SecureRandom().nextLong())
                        .toArray();
        for (long seed : seeds) {
            try {
                test.run(seed);
            } catch (Exception | AssertionError failure) {
                throw new AssertionError("failed with -Dferry.seed=" + seed + ": " + failure.getMessage(), failure);
            }
        }
    }
}
