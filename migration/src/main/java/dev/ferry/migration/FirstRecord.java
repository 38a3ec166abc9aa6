package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.migration.MigrationPlan.BasePlan;
import dev.ferry.migration.MigrationPlan.DiskPlan;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.BaseRecord;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.Grace;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.migration.journal.SnapshotRecord;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The record that a journal begins with: what is meant to be done, and that nothing has been. */
final class FirstRecord {
    private FirstRecord() {}

    static MoveRecord of(
            String id,
            String host,
            long nowMillis,
            String mover,
            Catalog catalog,
            MigrationRequest request,
            MigrationPlan plan)
            throws BlockException {
        List<DiskRecord> disks = new ArrayList<>();
        for (DiskPlan disk : plan.disks()) {
            disks.add(new DiskRecord(
                    disk.name(),
                    disk.format(),
                    disk.sizeBytes(),
                    disk.sourceDatastore(),
                    disk.sourcePath().toString(),
                    DiskFiles.identityOf(disk.sourcePath()),
                    disk.targetPath().toString(),
                    disk.targetProvisioning(),
                    disk.targetShape(),
                    null,
                    Authority.SOURCE,
                    false,
                    false,
                    false,
                    null,
                    null,
                    new DiskRecord.Former(
                            catalog.disk(disk.name()).format(),
                            disk.sourceProvisioning(),
                            null,
                            text(disk.backing()),
                            disk.parts().isEmpty() ? null : disk.parts(),
                            disk.snapshots().isEmpty()
                                    ? null
                                    : new SnapshotRecord(disk.snapshots().size(), 0, false, null)),
                    null,
                    DiskRecord.Outcome.NONE));
        }
        return new MoveRecord(
                0,
                nowMillis,
                id,
                host,
                Phase.PREPARE,
                MigrationState.RUNNING,
                null,
                nowMillis,
                plan.targetDatastore(),
                request.verify(),
                request.keepSource(),
                mover,
                request.rateBytesPerSecond() == 0 ? null : Long.valueOf(request.rateBytesPerSecond()),
                request.pace(),
                request.strategy(),
                null,
                request.graceMillis() == 0 ? null : new Grace(request.graceMillis(), null),
                bases(plan.bases()),
                disks);
    }

    private static @Nullable List<BaseRecord> bases(@Nullable List<BasePlan> plans) {
        if (plans == null) {
            return null;
        }
        return plans.stream()
                .map(base -> new BaseRecord(
                        base.sourcePath().toString(),
                        base.identity(),
                        base.modifiedNanos(),
                        base.format(),
                        base.lengthBytes(),
                        base.allocatedBytes(),
                        text(base.backing()),
                        text(base.partOf()),
                        base.disks(),
                        null,
                        null,
                        false,
                        false,
                        false,
                        false,
                        false,
                        null))
                .toList();
    }

    private static @Nullable String text(@Nullable Path path) {
        return path == null ? null : path.toString();
    }
}
