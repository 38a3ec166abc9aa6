package dev.ferry.migration.rehearsal;

import dev.ferry.datastore.Datastore;
import dev.ferry.migration.MigrationPlan.BasePlan;
import dev.ferry.migration.MigrationPlan.DiskPlan;
import dev.ferry.stack.DiskSpec;
import java.util.List;

/**
 * What is known of a move without trying anything.
 *
 * @param target where the disks are to go
 * @param disks those that can be moved as far as is known
 * @param bases files below them that would go with them
 * @param obstacles why others cannot, or none can; each a line for people
 * @param freeBytes room at the target, without what is promised to other moves
 * @param reserveBytes what of it a move leaves free
 * @param promisedBytes what other moves have still to fill
 * @param verify both sides would be compared
 * @param bytesPerSecondMax bound on the copying; 0: none
 * @param mover what moves bytes here, where the store does not do so itself
 */
public record Outlook(
        Datastore target,
        List<Disk> disks,
        List<BasePlan> bases,
        List<String> obstacles,
        long freeBytes,
        long reserveBytes,
        long promisedBytes,
        boolean verify,
        long bytesPerSecondMax,
        String mover) {
    public Outlook {
        disks = List.copyOf(disks);
        bases = List.copyOf(bases);
        obstacles = List.copyOf(obstacles);
    }

    /** Of the files below the disks, what would be copied at most: one that is at the target already is not. */
    long baseBytes() {
        return bases.stream().mapToLong(BasePlan::allocatedBytes).sum();
    }

    /** One disk: what would be done with it, and how it is opened. */
    public record Disk(DiskPlan plan, DiskSpec spec) {}
}
