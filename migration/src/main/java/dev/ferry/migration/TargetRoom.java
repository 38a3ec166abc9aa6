package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.BaseRecord;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.stack.Chain;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Stacks;

/**
 * Room that disks need at their targets, in bytes. One that is flattened needs that of all that it lies over; a disk has no more than
 * its size, but for its internal snapshots. Thread: any; calls block.
 */
final class TargetRoom {
    private final Catalog catalog;
    private final Stacks stacks;

    TargetRoom(Catalog catalog, Stacks stacks) {
        this.catalog = catalog;
        this.stacks = stacks;
    }

    /**
     * Of one disk.
     *
     * @param disk as it is
     * @param chain its files
     * @param to what it becomes
     * @param flattened what it lies over does not go with it as files of their own
     * @param snapshots its internal snapshots go with it
     */
    static long neededBytes(
            DiskSpec disk, Chain chain, Provisioning to, long sizeBytes, boolean flattened, boolean snapshots) {
        long allocated = flattened ? chain.allocatedBytes() : chain.top().allocatedBytes();
        if (snapshots) {
            return allocated;
        }
        return switch (to) {
            // A thick disk made thin needs what of it is not zero, which nobody knows before it has been read.
            case THIN -> disk.provisioning() == Provisioning.THIN ? Math.min(sizeBytes, allocated) : 0;
            case LAZY, EAGER -> sizeBytes;
        };
    }

    /**
     * In all, of a move that was interrupted: of its disks that are not there yet. Where a source cannot be looked at, it is what there
     * was to copy when last written down.
     */
    long neededBytes(MoveRecord interrupted) {
        long bytes = 0;
        for (DiskRecord disk : interrupted.disks()) {
            if (disk.authority() == Authority.SOURCE) {
                bytes += neededBytes(disk);
            }
        }
        for (BaseRecord base : interrupted.below()) {
            bytes += base.allocatedBytes();
        }
        return bytes;
    }

    private long neededBytes(DiskRecord disk) {
        try {
            DiskSpec spec = catalog.disk(disk.name()).spec();
            boolean flattened = disk.backing() == null;
            boolean snapshots = disk.snapshots() != null;
            return neededBytes(
                    spec, stacks.chain(spec), disk.targetProvisioning(), disk.sizeBytes(), flattened, snapshots);
        } catch (BlockException e) {
            return disk.outcome().totalBytes();
        }
    }
}
