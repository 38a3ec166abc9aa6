package dev.ferry.migration;

import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.migration.journal.Resumption;
import java.time.Instant;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a move that is done has done, and what proves it.
 *
 * @param id such as {@code m1}
 * @param host what the host called itself
 * @param startedAt ISO-8601
 * @param endedAt ISO-8601
 * @param seconds from start to end
 * @param targetDatastore where the disks are now
 * @param mover what moved the bytes
 * @param verified both sides of every disk were read and found equal before the switch
 * @param digestScheme how digests are made
 * @param resumed how the last interruption was got over; null if there was none
 * @param bases files below the disks that went with them; empty where disks were flattened
 * @param internalSnapshots internal snapshots of disks that went with them; empty where none did
 * @param disks disk after disk
 */
public record Receipt(
        String id,
        @Nullable String host,
        String startedAt,
        String endedAt,
        double seconds,
        String targetDatastore,
        String mover,
        boolean verified,
        String digestScheme,
        @Nullable Resumption resumed,
        List<BaseStatus> bases,
        List<SnapshotStatus> internalSnapshots,
        List<Disk> disks) {
    private static final String DIGEST_SCHEME = "SHA-256 of the SHA-256 of each region of 1 MiB, in order";
    private static final String DIGEST_SCHEME_IN_ROUNDS = "SHA-256 of the SHA-256 of each region of 64 KiB"
            + " (of disks beyond 1 TiB: twice that for each doubling), in the order in which they were compared,"
            + " those that were changed meanwhile more than once";

    public Receipt {
        bases = List.copyOf(bases);
        internalSnapshots = List.copyOf(internalSnapshots);
        disks = List.copyOf(disks);
    }

    /**
     * One disk of it.
     *
     * @param name the disk
     * @param sizeBytes its size
     * @param sourcePath its file before
     * @param targetPath its file now
     * @param mover what moved its bytes
     * @param offloadRefusal why the stores did not go on copying among themselves; null if they did, or never began
     * @param verified both sides were read and found equal
     * @param sourceDigest root of the digest tree of the source, hexadecimal; null without verification
     * @param targetDigest of the target
     * @param differencesFound ranges that were found to differ, and were copied and compared again
     * @param repairs how often that was done
     * @param verifiedAgain what the last comparison found that somebody asked for; null if nobody did
     * @param bytesCopied read from the source and written to the target
     * @param bytesMirrored of the guest's writes, sent to the target as well
     * @param switchoverPauseMillis how long no request of the guest went through at the switch
     */
    public record Disk(
            String name,
            long sizeBytes,
            String sourcePath,
            String targetPath,
            String mover,
            @Nullable String offloadRefusal,
            boolean verified,
            @Nullable String sourceDigest,
            @Nullable String targetDigest,
            List<String> differencesFound,
            int repairs,
            DiskRecord.@Nullable Proof verifiedAgain,
            long bytesCopied,
            long bytesMirrored,
            @Nullable Double switchoverPauseMillis) {
        public Disk {
            differencesFound = List.copyOf(differencesFound);
        }
    }

    static Receipt of(MoveRecord record) {
        List<Disk> disks =
                record.disks().stream().map(disk -> of(disk, record.mover())).toList();
        return new Receipt(
                record.id(),
                record.host(),
                Instant.ofEpochMilli(record.startedMillis()).toString(),
                Instant.ofEpochMilli(record.atMillis()).toString(),
                (record.atMillis() - record.startedMillis()) / 1000.0,
                record.targetDatastore(),
                StatusView.movers(record, record.disks()),
                disks.stream().allMatch(Disk::verified),
                record.how().begun() == Strategy.MIRROR ? DIGEST_SCHEME : DIGEST_SCHEME_IN_ROUNDS,
                record.resumed(),
                BaseStatus.of(record),
                SnapshotStatus.of(record),
                disks);
    }

    private static Disk of(DiskRecord disk, String usualMover) {
        DiskRecord.Outcome outcome = disk.outcome();
        return new Disk(
                disk.name(),
                disk.sizeBytes(),
                disk.sourcePath(),
                disk.targetPath(),
                StatusView.moverOf(disk, usualMover),
                outcome.offloadRefusal(),
                outcome.verified(),
                outcome.sourceDigest(),
                outcome.targetDigest(),
                disk.found(),
                disk.rounds(),
                disk.proof(),
                outcome.bytesCopied(),
                outcome.bytesMirrored(),
                outcome.switchoverPauseMillis());
    }
}
