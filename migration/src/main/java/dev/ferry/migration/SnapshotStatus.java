package dev.ferry.migration;

import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.migration.journal.SnapshotRecord;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The internal snapshots of a disk that are moved with it, as listings and JSON show it.
 *
 * @param disk whose they are
 * @param count how many
 * @param bytes what is copied for them; 0 before it is known
 * @param state {@code waiting}, {@code copying}, {@code copied} or {@code discarded}
 * @param digest of the bytes of their file at the target, hexadecimal; null if they were not compared
 */
public record SnapshotStatus(
        String disk,
        int count,
        long bytes,
        String state,
        @Nullable String digest) {
    static List<SnapshotStatus> of(MoveRecord record) {
        List<SnapshotStatus> all = new ArrayList<>();
        for (DiskRecord disk : record.disks()) {
            SnapshotRecord snapshots = disk.snapshots();
            if (snapshots != null) {
                all.add(new SnapshotStatus(
                        disk.name(), snapshots.count(), snapshots.bytes(), state(disk, snapshots), snapshots.digest()));
            }
        }
        return all;
    }

    private static String state(DiskRecord disk, SnapshotRecord snapshots) {
        if (disk.targetGone()) {
            return "discarded";
        }
        return snapshots.done() ? "copied" : disk.targetIdentity() == null ? "waiting" : "copying";
    }

    /**
     * Of the bytes that are to be copied for them, done.
     *
     * @param atHandBytes of those that are being copied
     */
    static long doneBytes(DiskRecord disk, long atHandBytes) {
        SnapshotRecord snapshots = disk.snapshots();
        if (snapshots == null) {
            return 0;
        }
        return snapshots.done()
                ? snapshots.bytes()
                : disk.targetIdentity() == null ? 0 : Math.min(snapshots.bytes(), atHandBytes);
    }

    static long totalBytes(DiskRecord disk) {
        SnapshotRecord snapshots = disk.snapshots();
        return snapshots == null ? 0 : snapshots.bytes();
    }
}
