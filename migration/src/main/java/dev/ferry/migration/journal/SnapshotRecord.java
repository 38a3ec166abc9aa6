package dev.ferry.migration.journal;

import org.jspecify.annotations.Nullable;

/**
 * The internal snapshots of a disk, which are moved with it, at one step.
 *
 * @param count how many
 * @param bytes of its old file that only they refer to, or they too: what is copied for them; 0 before it is known
 * @param done they are at the target, whole and durable, in the file that the disk's copy goes on into
 * @param digest of the bytes of that file by then, hexadecimal; null if they were not compared
 */
public record SnapshotRecord(
        int count, long bytes, boolean done, @Nullable String digest) {
    /** None of it is at the target. */
    public SnapshotRecord of(long copiedBytes) {
        return new SnapshotRecord(count, copiedBytes, false, null);
    }

    public SnapshotRecord finished(@Nullable String bytesDigest) {
        return new SnapshotRecord(count, bytes, true, bytesDigest);
    }
}
