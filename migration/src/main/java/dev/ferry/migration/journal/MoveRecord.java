package dev.ferry.migration.journal;

import dev.ferry.migration.MigrationState;
import dev.ferry.migration.Phase;
import dev.ferry.migration.StrategySettings;
import dev.ferry.migration.copy.PaceSettings;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A migration at one step: all that is needed to go on, to undo it, or to tell of it later.
 *
 * @param sequence 0, 1, 2, …: the place of this record in its journal
 * @param atMillis when, in milliseconds since 1970
 * @param id of the migration
 * @param host what the host calls itself; null in records of versions that did not say
 * @param phase what is about to be acted on
 * @param state how it is doing
 * @param error why it did not succeed; null if nothing is wrong
 * @param startedMillis when it began
 * @param targetDatastore where the disks go
 * @param verify both sides are compared before the switch
 * @param keepSource sources stay
 * @param mover what moved the bytes
 * @param rateBytesPerSecond bound on the copying; null: none
 * @param pace what guests may be made to feel; null: as by default
 * @param strategy how the disks get to their targets; null: by the mirror
 * @param resumed what the last start found, if there was one while it was under way
 * @param grace how long the way back stays open after the switch; null: not at all
 * @param bases files below the disks that are moved with them, what lies below first; null: disks are flattened
 * @param disks disk after disk
 */
public record MoveRecord(
        int sequence,
        long atMillis,
        String id,
        @Nullable String host,
        Phase phase,
        MigrationState state,
        @Nullable String error,
        long startedMillis,
        String targetDatastore,
        boolean verify,
        boolean keepSource,
        String mover,
        @Nullable Long rateBytesPerSecond,
        @Nullable PaceSettings pace,
        @Nullable StrategySettings strategy,
        @Nullable Resumption resumed,
        @Nullable Grace grace,
        @Nullable List<BaseRecord> bases,
        List<DiskRecord> disks) {
    public MoveRecord {
        disks = List.copyOf(disks);
        bases = bases == null ? null : List.copyOf(bases);
    }

    /** What lies below the disks and is moved with them, the lowest first. */
    public List<BaseRecord> below() {
        return bases == null ? List.of() : bases;
    }

    /** The file below the disks that was at a path. */
    public BaseRecord base(String sourcePath) {
        return below().stream()
                .filter(base -> base.sourcePath().equals(sourcePath))
                .findFirst()
                .orElseThrow(() -> new IllegalStateException("no record of what a disk lies over"));
    }

    /** The record that follows this one. */
    public MoveRecord next(
            long millis, Phase nextPhase, MigrationState nextState, @Nullable String why, List<DiskRecord> nextDisks) {
        return new MoveRecord(
                sequence + 1,
                millis,
                id,
                host,
                nextPhase,
                nextState,
                why,
                startedMillis,
                targetDatastore,
                verify,
                keepSource,
                mover,
                rateBytesPerSecond,
                pace,
                strategy,
                resumed,
                grace,
                bases,
                nextDisks);
    }

    /** The same, as it is told to people where it could not be written. */
    public MoveRecord told(long millis, MigrationState otherState, @Nullable String why) {
        return new MoveRecord(
                sequence,
                millis,
                id,
                host,
                phase,
                otherState,
                why,
                startedMillis,
                targetDatastore,
                verify,
                keepSource,
                mover,
                rateBytesPerSecond,
                pace,
                strategy,
                resumed,
                grace,
                bases,
                disks);
    }

    /** The same with another rate; 0: none. */
    public MoveRecord withRate(long bytesPerSecond) {
        return with(bytesPerSecond == 0 ? null : Long.valueOf(bytesPerSecond), strategy, resumed, grace, bases);
    }

    public MoveRecord withResumed(Resumption found) {
        return with(rateBytesPerSecond, strategy, found, grace, bases);
    }

    public MoveRecord withStrategy(StrategySettings other) {
        return with(rateBytesPerSecond, other, resumed, grace, bases);
    }

    /** The strategy, also of a record of a version that knew but one. */
    public StrategySettings how() {
        StrategySettings known = strategy;
        return known == null ? StrategySettings.DEFAULT : known;
    }

    public MoveRecord withGrace(Grace other) {
        return with(rateBytesPerSecond, strategy, resumed, other, bases);
    }

    public MoveRecord withBases(List<BaseRecord> others) {
        return with(rateBytesPerSecond, strategy, resumed, grace, others);
    }

    /** True if it is decided that the targets are the disks, and the way back is open as far as the journal knows. */
    public boolean kept() {
        boolean decided = grace != null && disks.stream().allMatch(disk -> disk.authority() == Authority.TARGET);
        return switch (phase) {
            case SWITCH, KEEP, ROLLBACK -> decided;
            case PREPARE, CREATE, COPY, VERIFY, COMMIT, UNDO, END -> false;
        };
    }

    private MoveRecord with(
            @Nullable Long rate,
            @Nullable StrategySettings how,
            @Nullable Resumption found,
            @Nullable Grace way,
            @Nullable List<BaseRecord> files) {
        return new MoveRecord(
                sequence,
                atMillis,
                id,
                host,
                phase,
                state,
                error,
                startedMillis,
                targetDatastore,
                verify,
                keepSource,
                mover,
                rate,
                pace,
                how,
                found,
                way,
                files,
                disks);
    }
}
