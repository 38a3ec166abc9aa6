package dev.ferry.migration.journal;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A file below the disks of a migration, which is moved with them, at one step.
 *
 * @param sourcePath the file, without links in its path
 * @param sourceIdentity tells that file from a later one of its name
 * @param modifiedNanos when it was last changed, in nanoseconds since 1970: it is not to change any more
 * @param format of the disk that it is a file of, such as {@code raw}
 * @param lengthBytes of the file
 * @param allocatedBytes what it takes in its file system
 * @param backing path of the file that it lies over itself, which is moved too; null: it lies over nothing
 * @param partOf path of the file that names it as a part of its disk, which is moved too; null: a disk is named by it itself
 * @param disks those of the migration that lie over it
 * @param targetPath its file at the target; null before it has a name there
 * @param targetIdentity tells that file from any other; null before it is made
 * @param found it was at the target already, the same byte for byte: it is not this migration's
 * @param done it is at the target, whole and durable, under its name
 * @param sourceGone nothing is left to do for the source's file: it is deleted, or stays since others lie over it
 * @param sourceKept the source's file stays, though the migration is over
 * @param targetGone nothing of it is wanted at the target any more
 * @param digest of its bytes at the target, hexadecimal; null if they were not compared
 */
public record BaseRecord(
        String sourcePath,
        String sourceIdentity,
        long modifiedNanos,
        String format,
        long lengthBytes,
        long allocatedBytes,
        @Nullable String backing,
        @Nullable String partOf,
        List<String> disks,
        @Nullable String targetPath,
        @Nullable String targetIdentity,
        boolean found,
        boolean done,
        boolean sourceGone,
        boolean sourceKept,
        boolean targetGone,
        @Nullable String digest) {
    public BaseRecord {
        disks = List.copyOf(disks);
    }

    public Path sourceFile() {
        return Path.of(sourcePath);
    }

    /** Null before it has a name at the target. */
    public @Nullable Path targetFile() {
        return targetPath == null ? null : Path.of(targetPath);
    }

    /** It is to be of that name; nothing has been made yet. */
    public BaseRecord named(Path path) {
        return with(path.toString(), null, false, false, sourceGone, sourceKept, targetGone, null);
    }

    /** Its file has been made, under its hidden name. */
    public BaseRecord made(String identity) {
        return with(targetPath, identity, false, false, sourceGone, sourceKept, targetGone, null);
    }

    /** It is there, whole. */
    public BaseRecord finished(@Nullable String bytesDigest) {
        return with(targetPath, targetIdentity, false, true, sourceGone, sourceKept, targetGone, bytesDigest);
    }

    /** It was there before, the same byte for byte. */
    public BaseRecord there(String identity, @Nullable String bytesDigest) {
        return with(targetPath, identity, true, true, sourceGone, sourceKept, targetGone, bytesDigest);
    }

    /** It has to be brought anew. */
    public BaseRecord again() {
        return with(null, null, false, false, sourceGone, sourceKept, targetGone, null);
    }

    /** @param kept the file stays, for others */
    public BaseRecord withSourceGone(boolean kept) {
        return with(targetPath, targetIdentity, found, done, true, kept, targetGone, digest);
    }

    public BaseRecord withTargetGone() {
        return with(targetPath, targetIdentity, found, done, sourceGone, sourceKept, true, digest);
    }

    private BaseRecord with(
            @Nullable String path,
            @Nullable String identity,
            boolean wasThere,
            boolean isDone,
            boolean noSource,
            boolean kept,
            boolean noTarget,
            @Nullable String bytesDigest) {
        return new BaseRecord(
                sourcePath,
                sourceIdentity,
                modifiedNanos,
                format,
                lengthBytes,
                allocatedBytes,
                backing,
                partOf,
                disks,
                path,
                identity,
                wasThere,
                isDone,
                noSource,
                kept,
                noTarget,
                bytesDigest);
    }
}
