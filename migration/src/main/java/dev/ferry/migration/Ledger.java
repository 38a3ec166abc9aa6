package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.journal.BaseRecord;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.Grace;
import dev.ferry.migration.journal.Journal;
import dev.ferry.migration.journal.Journals;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.migration.journal.Resumption;
import java.io.IOException;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A migration's journal and the last record in it. Every step goes through here: written first, believed after.
 *
 * <p>Thread: that of the move; {@link #record} is for everybody.
 */
final class Ledger {
    private static final int FEW_FILES = 16;
    private static final int REWRITE_EVERY = 32;

    private final Journals journals;
    private final InstantSource clock;
    private Journal journal;
    private volatile MoveRecord record;

    private int filesSinceRewrite;

    Ledger(Journals journals, Journal journal, MoveRecord last, InstantSource clock) {
        this.journals = journals;
        this.journal = journal;
        this.record = last;
        this.clock = clock;
    }

    MoveRecord record() {
        return record;
    }

    /** Writes that a phase begins. */
    void phase(Phase phase, MigrationState state, @Nullable String error) throws BlockException {
        write(phase, state, error, record.disks());
    }

    /** Writes what has become of a disk. */
    void disk(int index, DiskRecord changed) throws BlockException {
        List<DiskRecord> disks = new ArrayList<>(record.disks());
        disks.set(index, changed);
        write(record.phase(), record.state(), record.error(), disks);
    }

    /** Writes what has become of all disks, in one step. */
    void disks(List<DiskRecord> changed) throws BlockException {
        write(record.phase(), record.state(), record.error(), changed);
    }

    void write(Phase phase, MigrationState state, @Nullable String error, List<DiskRecord> disks)
            throws BlockException {
        append(record.next(clock.millis(), phase, state, error, disks));
    }

    /** Writes a step of the way back. */
    void write(Phase phase, MigrationState state, List<DiskRecord> disks, Grace grace) throws BlockException {
        append(record.next(clock.millis(), phase, state, null, disks).withGrace(grace));
    }

    /** Writes a bound on the copying. */
    void rate(long bytesPerSecond) throws BlockException {
        append(again().withRate(bytesPerSecond));
    }

    /** Writes that it goes on by another strategy. */
    void strategy(StrategySettings other) throws BlockException {
        append(again().withStrategy(other));
    }

    /** Writes what has become of a file below the disks. */
    void base(int index, BaseRecord changed) throws BlockException {
        List<BaseRecord> bases = new ArrayList<>(record.below());
        bases.set(index, changed);
        append(again().withBases(bases));
        // Each record tells of all files: with many of them the journal would become longer than any may be.
        if (bases.size() > FEW_FILES && ++filesSinceRewrite == REWRITE_EVERY) {
            filesSinceRewrite = 0;
            rewrite();
        }
    }

    /** Writes what a start found. */
    void resumed(Resumption found) throws BlockException {
        append(again().withResumed(found));
    }

    private MoveRecord again() {
        MoveRecord now = record;
        return now.next(clock.millis(), now.phase(), now.state(), now.error(), now.disks());
    }

    long nowMillis() {
        return clock.millis();
    }

    private void append(MoveRecord next) throws BlockException {
        try {
            journal.append(next);
        } catch (IOException e) {
            throw new BlockError(
                            ErrorKind.IO, "journal of " + next.id(), "write", -1, -1, String.valueOf(e.getMessage()), e)
                    .toException();
        }
        record = next;
    }

    /**
     * Writes the journal anew, with the last record that is believed, after an append that may or may not have reached
     * the disk. When this returns there is no doubt any more.
     */
    void rewrite() throws BlockException {
        try {
            journal.close();
            journal = journals.rewrite(record);
        } catch (IOException e) {
            throw new BlockError(
                            ErrorKind.IO,
                            "journal of " + record.id(),
                            "write anew",
                            -1,
                            -1,
                            String.valueOf(e.getMessage()),
                            e)
                    .toException();
        }
    }

    void close() {
        try {
            journal.close();
        } catch (IOException e) {
            // Every record was made durable when it was written; there is nothing left to lose.
            org.slf4j.LoggerFactory.getLogger(Ledger.class).warn("journal of {} did not close", record.id(), e);
        }
    }
}
