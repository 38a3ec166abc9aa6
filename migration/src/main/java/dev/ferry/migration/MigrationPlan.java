package dev.ferry.migration;

import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.stack.PartRecord;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a move would do; made by the same checks that the move itself begins with.
 *
 * @param disks disk after disk
 * @param targetDatastore where they go
 * @param neededBytes room that the targets need now
 * @param freeBytes room that there is
 * @param bases files below the disks that go with them, what lies below first; null: disks are flattened
 */
public record MigrationPlan(
        List<DiskPlan> disks,
        String targetDatastore,
        long neededBytes,
        long freeBytes,
        @Nullable List<BasePlan> bases) {
    public MigrationPlan {
        disks = List.copyOf(disks);
        bases = bases == null ? null : List.copyOf(bases);
    }

    /**
     * A file below disks.
     *
     * @param sourcePath the file
     * @param identity tells it from any other
     * @param modifiedNanos when it was last changed
     * @param format of the disk that it is a file of
     * @param lengthBytes of the file
     * @param allocatedBytes what it takes in its file system
     * @param backing the file that it lies over itself; null: none
     * @param partOf the file that names it as a part of its disk; null: a disk is named by it itself
     * @param disks those that lie over it
     */
    public record BasePlan(
            Path sourcePath,
            String identity,
            long modifiedNanos,
            String format,
            long lengthBytes,
            long allocatedBytes,
            @Nullable Path backing,
            @Nullable Path partOf,
            List<String> disks) {
        public BasePlan {
            disks = List.copyOf(disks);
        }

        BasePlan below(List<String> others) {
            return new BasePlan(
                    sourcePath, identity, modifiedNanos, format, lengthBytes, allocatedBytes, backing, partOf, others);
        }
    }

    /**
     * One disk of it.
     *
     * @param name the disk
     * @param sourceDatastore where it is
     * @param sourcePath its file
     * @param targetPath its file-to-be
     * @param format what format it gets
     * @param sourceProvisioning what it is
     * @param targetProvisioning what it becomes
     * @param targetShape of the qcow2 image that it becomes; null: it becomes none, or one over a file that goes with it
     * @param sizeBytes its size
     * @param neededBytes room that the target needs now
     * @param backing the file that it lies over, which goes with it; null: none, or it is flattened
     * @param parts files that hold it besides its own, which are deleted with that
     * @param snapshots names of its internal snapshots, which go with it; empty: none do
     */
    public record DiskPlan(
            String name,
            String sourceDatastore,
            Path sourcePath,
            Path targetPath,
            String format,
            Provisioning sourceProvisioning,
            Provisioning targetProvisioning,
            @Nullable Qcow2Shape targetShape,
            long sizeBytes,
            long neededBytes,
            @Nullable Path backing,
            List<PartRecord> parts,
            List<String> snapshots) {
        public DiskPlan {
            parts = List.copyOf(parts);
            snapshots = List.copyOf(snapshots);
        }

        /** What both sides have the same before any of the disk is copied: what it lies over, or its snapshots. */
        public boolean layered() {
            return backing != null || !snapshots.isEmpty();
        }
    }
}
