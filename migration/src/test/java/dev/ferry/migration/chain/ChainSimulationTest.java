package dev.ferry.migration.chain;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.testkit.Seeds;
import org.junit.jupiter.api.Test;

/** A commit under a guest on simulated disks, whose power goes at any instant. */
class ChainSimulationTest {
    private static final int SEEDS = 4;

    @Test
    void theChainReadsTheSameWheneverThePowerGoes() {
        Seeds.run(SEEDS, seed -> SimulatedCommit.run(seed, false));
    }

    /** The canary. */
    @Test
    void aCommitThatWritesWhereNothingHidesItIsFoundOut() {
        assertThatThrownBy(() -> Seeds.run(SEEDS, seed -> SimulatedCommit.run(seed, true)))
                .isInstanceOf(AssertionError.class);
    }
}
