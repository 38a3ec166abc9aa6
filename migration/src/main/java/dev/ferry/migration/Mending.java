package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.journal.DiskRecord;
import java.util.ArrayList;
import java.util.List;

/**
 * What comparisons found that differed, which is copied again and compared again as a whole; and when it is enough.
 *
 * <p>Thread: that of the move.
 */
final class Mending {
    /** A target that still differs after so many rounds does not keep what it is given. */
    private static final int ROUNDS_MAX = 3;

    private static final int NAMED_MAX = 64;

    private final Ledger ledger;
    private String words = "";

    Mending(Ledger ledger) {
        this.ledger = ledger;
    }

    /**
     * Writes down what differs.
     *
     * @throws BlockException if it has differed too often
     */
    void note(MovingDisk disk, Verdict verdict) throws BlockException {
        DiskRecord record = ledger.record().disks().get(disk.index);
        List<String> named = new ArrayList<>(record.found());
        List<String> now = verdict.differences();
        named.addAll(now.subList(0, Math.min(now.size(), Math.max(0, NAMED_MAX - named.size()))));
        words = "disk " + record.name() + ": source and target differ in " + String.join(", ", now);
        int rounds = record.rounds() + 1;
        ledger.disk(disk.index, record.withDifferences(named, rounds));
        if (rounds > ROUNDS_MAX) {
            throw Planner.refusal(
                    ErrorKind.CORRUPT,
                    "disk " + record.name(),
                    "source and target still differ after " + ROUNDS_MAX + " repairs, in "
                            + String.join(", ", now)
                            + "; the target does not keep what is written to it; the guest stays on the source");
        }
    }

    String words() {
        return words;
    }
}
