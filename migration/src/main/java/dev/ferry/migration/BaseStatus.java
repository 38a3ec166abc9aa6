package dev.ferry.migration;

import dev.ferry.migration.journal.BaseRecord;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.MoveRecord;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A file below disks that is moved with them, as listings and JSON show it.
 *
 * @param sourcePath the file
 * @param targetPath its file at the target; null before it has a name there
 * @param format of the disk that it is a file of
 * @param lengthBytes of the file
 * @param allocatedBytes what it takes in its file system: what is copied
 * @param disks those of the move that lie over it
 * @param state {@code waiting}, {@code copying}, {@code copied}, {@code found} (it was there already, the same byte for byte) or {@code
 *     discarded}
 * @param digest of its bytes at the target, hexadecimal; null if they were not compared
 * @param source {@code there}, {@code deleted} or {@code kept} (others lie over it)
 */
public record BaseStatus(
        String sourcePath,
        @Nullable String targetPath,
        String format,
        long lengthBytes,
        long allocatedBytes,
        List<String> disks,
        String state,
        @Nullable String digest,
        String source) {
    public BaseStatus {
        disks = List.copyOf(disks);
    }

    static List<BaseStatus> of(MoveRecord record) {
        return record.below().stream().map(BaseStatus::of).toList();
    }

    private static BaseStatus of(BaseRecord base) {
        return new BaseStatus(
                base.sourcePath(),
                base.targetPath(),
                base.format(),
                base.lengthBytes(),
                base.allocatedBytes(),
                base.disks(),
                state(base),
                base.digest(),
                base.sourceKept() ? "kept" : base.sourceGone() ? "deleted" : "there");
    }

    private static String state(BaseRecord base) {
        if (base.targetGone()) {
            return "discarded";
        }
        if (base.done()) {
            return base.found() ? "found" : "copied";
        }
        return base.targetIdentity() == null ? "waiting" : "copying";
    }

    /**
     * Of the bytes of such files, and of snapshots of disks, that are to be copied, done.
     *
     * @param atHandBytes of those that are being copied
     */
    static long doneBytes(MoveRecord record, long atHandBytes) {
        long bytes = 0;
        for (BaseRecord base : record.below()) {
            if (base.done() && !base.found()) {
                bytes += base.allocatedBytes();
            } else if (!base.done() && base.targetIdentity() != null) {
                bytes += Math.min(base.allocatedBytes(), atHandBytes);
            }
        }
        for (DiskRecord disk : record.disks()) {
            bytes += SnapshotStatus.doneBytes(disk, atHandBytes);
        }
        return bytes;
    }

    static long totalBytes(MoveRecord record) {
        long bytes = 0;
        for (BaseRecord base : record.below()) {
            bytes += base.found() ? 0 : base.allocatedBytes();
        }
        for (DiskRecord disk : record.disks()) {
            bytes += SnapshotStatus.totalBytes(disk);
        }
        return bytes;
    }
}
