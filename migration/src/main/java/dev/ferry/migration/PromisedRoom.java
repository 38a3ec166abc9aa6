package dev.ferry.migration;

import dev.ferry.image.Provisioning;
import dev.ferry.migration.journal.BaseRecord;
import dev.ferry.migration.journal.MoveRecord;

/** Room at the target of a move that it will fill yet, so that no other move counts on it. Thread: any. */
final class PromisedRoom {
    private final Ledger ledger;
    private final MoveWork work;
    private final long neededBytes;

    /** @param neededBytes all disks together, with what goes along with them */
    PromisedRoom(Ledger ledger, MoveWork work, long neededBytes) {
        this.ledger = ledger;
        this.work = work;
        this.neededBytes = neededBytes;
    }

    /** At a datastore, in bytes. */
    long bytes(String datastore) {
        MoveRecord now = ledger.record();
        if (!now.targetDatastore().equals(datastore)) {
            return 0;
        }
        return switch (now.phase()) {
            case PREPARE, CREATE -> Math.max(0, neededBytes - basesThere(now));
            case COPY -> Math.max(0, neededBytes - basesThere(now) - allocatedBytes(now));
            case VERIFY, SWITCH, KEEP, ROLLBACK, COMMIT, UNDO, END -> 0;
        };
    }

    /** Snapshots of disks too. */
    private static long basesThere(MoveRecord now) {
        return now.below().stream()
                        .filter(BaseRecord::done)
                        .mapToLong(BaseRecord::allocatedBytes)
                        .sum()
                + now.disks().stream()
                        .mapToLong(disk -> SnapshotStatus.doneBytes(disk, 0))
                        .sum();
    }

    /** What of the targets' room is taken by now. */
    private long allocatedBytes(MoveRecord now) {
        long bytes = 0;
        for (MovingDisk disk : work.disks()) {
            boolean thin = now.disks().get(disk.index).targetProvisioning() == Provisioning.THIN;
            bytes += thin ? disk.figures.doneBytes() : disk.disk.sizeBytes();
        }
        return bytes;
    }
}
