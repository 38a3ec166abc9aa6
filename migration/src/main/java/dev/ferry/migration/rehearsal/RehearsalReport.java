package dev.ferry.migration.rehearsal;

import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How a move would go. Null stands for what is not known.
 *
 * @param go nothing was found that would keep the move from being done
 * @param findings what was tried, and what came of it
 * @param targetDatastore where the disks would go
 * @param room what the move takes there, and what there is
 * @param bytesPerSecondWritten how fast the target was written, made durable and not
 * @param bytesPerSecondRead how fast it was read; much of that out of memory, perhaps
 * @param writeMillis how long short writes to the target took: the middle one, and the slowest of a hundred
 * @param flushMillis how long it took to make a short write durable, likewise
 * @param seconds how long the move would take
 * @param bases files below the disks that would go with them, what lies below first
 * @param disks disk after disk; those that cannot be moved are not among them
 */
public record RehearsalReport(
        boolean go,
        List<Finding> findings,
        String targetDatastore,
        @Nullable Room room,
        @Nullable Range bytesPerSecondWritten,
        @Nullable Range bytesPerSecondRead,
        @Nullable Range writeMillis,
        @Nullable Range flushMillis,
        @Nullable Range seconds,
        List<Base> bases,
        List<Disk> disks) {
    public RehearsalReport {
        bases = List.copyOf(bases);
        findings = List.copyOf(findings);
        disks = List.copyOf(disks);
    }

    /**
     * One thing that was tried.
     *
     * @param what in a word, such as {@code discard}
     * @param verdict what it means
     * @param text what was found, in a clause
     */
    public record Finding(String what, Verdict verdict, String text) {}

    /** From the least to the most that is to be expected. */
    public record Range(double least, double most) {}

    /**
     * Room at the target.
     *
     * @param neededBytes what the disks take when they are there
     * @param growthBytes what the guests write into holes meanwhile, at the rate at which they write now
     * @param reserveBytes what a move leaves free: it parks before that is used
     * @param freeBytes what is free, less what is promised to other moves
     */
    public record Room(long neededBytes, long growthBytes, long reserveBytes, long freeBytes) {
        boolean enough() {
            return neededBytes + growthBytes + reserveBytes <= freeBytes;
        }
    }

    /**
     * A file below disks that would go with them.
     *
     * @param sourcePath the file
     * @param targetName what it would be called at the target, if no other file has the name
     * @param format {@code raw} or {@code qcow2}
     * @param lengthBytes of the file
     * @param allocatedBytes what would be copied
     * @param disks those that lie over it
     * @param nameTaken there is a file of the name at the target: if it is the same byte for byte it would be used, else the name would
     *     be another
     */
    public record Base(
            String sourcePath,
            String targetName,
            String format,
            long lengthBytes,
            long allocatedBytes,
            List<String> disks,
            boolean nameTaken) {
        public Base {
            disks = List.copyOf(disks);
        }
    }

    /**
     * One disk.
     *
     * @param name the disk
     * @param sizeBytes its size
     * @param dataBytes of it, what would be copied
     * @param holeBytes of it, what is zeroes and would not
     * @param format what it would be
     * @param sourceDatastore where it is
     * @param sourcePath its file
     * @param targetPath its file-to-be
     * @param sourceProvisioning what it is
     * @param targetProvisioning what it would be
     * @param targetShape of the qcow2 image that it would be; null: it would be none, or one over a file that goes with it
     * @param mover what would move the bytes
     * @param bytesPerSecondRead how fast samples of it were read
     * @param guestBytesPerSecond what its guest writes now; null: it is not open
     * @param addedMillis what the mirror would add to a write of the guest
     * @param longestWaitMillis how long a write may wait that meets the region being copied
     * @param snapshots its internal snapshots, which would go with it; null: none would
     */
    public record Disk(
            String name,
            long sizeBytes,
            @Nullable Long dataBytes,
            @Nullable Long holeBytes,
            String format,
            String sourceDatastore,
            String sourcePath,
            String targetPath,
            Provisioning sourceProvisioning,
            Provisioning targetProvisioning,
            @Nullable Qcow2Shape targetShape,
            String mover,
            @Nullable Range bytesPerSecondRead,
            @Nullable Long guestBytesPerSecond,
            @Nullable Range addedMillis,
            @Nullable Double longestWaitMillis,
            @Nullable Snapshots snapshots) {}

    /**
     * Internal snapshots of a disk that would go with it.
     *
     * @param names what they are called, in order
     * @param bytes what would be copied for them, besides what only the disk has
     */
    public record Snapshots(List<String> names, long bytes) {
        public Snapshots {
            names = List.copyOf(names);
        }
    }
}
