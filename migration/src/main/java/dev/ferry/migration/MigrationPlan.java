package dev.ferry.migration;

import dev.ferry.image.Provisioning;
import java.nio.file.Path;
import java.util.List;

/**
 * What a move would do; made by the same checks that the move itself begins with.
 *
 * @param disks disk after disk
 * @param targetDatastore where they go
 * @param neededBytes room that the targets need now
 * @param freeBytes room that there is
 */
public record MigrationPlan(List<DiskPlan> disks, String targetDatastore, long neededBytes, long freeBytes) {
    public MigrationPlan {
        disks = List.copyOf(disks);
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
     * @param sizeBytes its size
     * @param neededBytes room that the target needs now
     */
    public record DiskPlan(
            String name,
            String sourceDatastore,
            Path sourcePath,
            Path targetPath,
            String format,
            Provisioning sourceProvisioning,
            Provisioning targetProvisioning,
            long sizeBytes,
            long neededBytes) {}
}
