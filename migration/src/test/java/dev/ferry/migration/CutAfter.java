package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * A move whose process dies right after a record of its journal, and the next start, which brings it to its end. One thread.
 *
 * @param world where the move, the first there, is the only one
 * @param records so many are written before the power is cut
 */
record CutAfter(World world, int records) {
    private static final Duration LONG = Duration.ofSeconds(100);
    private static final Duration STEP = Duration.ofMillis(2);

    /** What is done with a move of which so many records are written. */
    @FunctionalInterface
    interface Trial {
        /** @return true if the move came to its end before */
        boolean run(CutAfter cut) throws Exception;
    }

    /**
     * Cuts the power after the first record, after the second and so on, each time in a world of its own, until a move comes to its
     * end before.
     *
     * @param recordsMax no move writes so many
     * @return how many the move that came to its end was given
     */
    static int eachRecord(Path directory, int recordsMax, Trial trial) throws Exception {
        for (int records = 1; records < recordsMax; records++) {
            try (World world = new World(directory.resolve("cut-after-" + records))) {
                if (trial.run(new CutAfter(world, records))) {
                    return records;
                }
            }
        }
        throw new AssertionError("the move never came to its end");
    }

    /** @return true if the move came to its end, false if the power was cut before */
    boolean move(MigrationRequest request) throws Exception {
        world.recordsUntilPowerCut.set(records);
        try {
            String id = world.engine.start(request).id();
            long deadline = System.nanoTime() + LONG.toNanos();
            while (!world.isCut()) {
                if (world.engine.await(id, STEP).state().over()) {
                    return !world.isCut();
                }
                assertThat(System.nanoTime()).as("neither done nor dead").isLessThan(deadline);
            }
        } catch (World.PowerCut e) {
            assertThat(world.isCut()).isTrue();
        }
        return false;
    }

    /** The next process starts, with all the power that it needs, and reads the journal. */
    List<MigrationStatus> restart() throws Exception {
        world.reboot();
        world.recordsUntilPowerCut.set(Integer.MAX_VALUE);
        List<MigrationStatus> recovered = world.engine.recover();
        assertThat(recovered).as(toString()).hasSizeLessThanOrEqualTo(1);
        return recovered;
    }

    /** The move goes on, and is done. */
    void goOn() throws Exception {
        world.engine.goOn();
        MigrationStatus status = world.engine.await("m1", LONG);
        assertThat(status.state()).as("%s: %s", this, status).isEqualTo(MigrationState.DONE);
    }

    /**
     * The move is done, by the next start if not before.
     *
     * @return true if it came to its end before the power was cut
     */
    boolean moveToTheEnd(MigrationRequest request) throws Exception {
        boolean whole = move(request);
        if (!whole) {
            restart();
            goOn();
        }
        return whole;
    }

    @Override
    public String toString() {
        return "after " + records + " records";
    }
}
