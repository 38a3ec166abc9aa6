package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.migration.Carrier.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * The last of a copy by iterations, which is moved, and compared, while the guest is held: who waits for it, and what came of
 * the comparison. It ends once, whether by its work, by an error or by being given up.
 *
 * <p>Thread: the loop's; {@link #verdict} any.
 */
final class LastStep {
    private @Nullable Completion waiting;
    private volatile @Nullable Verdict verdict;

    /** @param done is told when it has ended, on the loop, and not after {@link #giveUp} */
    void begin(Completion done) {
        waiting = done;
        verdict = null;
    }

    boolean underWay() {
        return waiting != null;
    }

    /** What was moved has been compared. */
    void judged(Verdict of) {
        verdict = of;
    }

    /** What came of the comparison; null: there was none, or not yet. */
    @Nullable
    Verdict verdict() {
        return verdict;
    }

    /** Does nothing where none is under way. */
    void end(@Nullable BlockError error) {
        Completion told = waiting;
        waiting = null;
        if (told != null) {
            told.complete(error);
        }
    }

    /** The guest is not held any more; nobody is told. */
    void giveUp() {
        waiting = null;
    }
}
