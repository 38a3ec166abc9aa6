package dev.ferry.migration.journal;

import dev.ferry.migration.MigrationState;
import dev.ferry.migration.Phase;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A migration at one step: all that is needed to go on, to undo it, or to tell of it later.
 *
 * @param sequence 0, 1, 2, …: the place of this record in its journal
 * @param atMillis when, in milliseconds since 1970
 * @param id of the migration
 * @param phase what is about to be acted on
 * @param state how it is doing
 * @param error why it did not succeed; null if nothing is wrong
 * @param startedMillis when it began
 * @param targetDatastore where the disks go
 * @param verify both sides are compared before the switch
 * @param keepSource sources stay
 * @param mover what moved the bytes
 * @param disks disk after disk
 */
public record MoveRecord(
        int sequence,
        long atMillis,
        String id,
        Phase phase,
        MigrationState state,
        @Nullable String error,
        long startedMillis,
        String targetDatastore,
        boolean verify,
        boolean keepSource,
        String mover,
        List<DiskRecord> disks) {
    public MoveRecord {
        disks = List.copyOf(disks);
    }
}
