package dev.ferry.migration;

import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.Resumption;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How a migration is doing, as listings and JSON show it.
 *
 * @param id such as {@code m1}
 * @param state how it is doing
 * @param phase where it is
 * @param progress percent of the copying that is done, 0 to 100; never goes back
 * @param doneBytes of the bytes to copy, done
 * @param totalBytes bytes to copy, as far as is known
 * @param bytesPerSecond how fast it copies, smoothed
 * @param etaSeconds when copying will be done at that speed; null where nobody knows
 * @param verification how far a comparison is, that of the move or one that was asked for; null if none is under way
 * @param convergence whether the copy catches up with the guest, in modes {@code tracking} and {@code snapshot}, of the disk that is furthest
 *     from it; null in other modes, and when nothing is being copied
 * @param eta when it will be at its switch, all of it copied, and compared if it is to be; null where nobody knows
 * @param rateBytesPerSecond bound on all disks' copying together, and then on their comparison; 0: none
 * @param targetDatastore where the disks go
 * @param mode {@code mirror}, {@code tracking} or {@code snapshot}
 * @param mover what moves the bytes: {@code offload}, {@code native} or {@code portable}; several where disks differ
 * @param verified both sides were read and found equal, disk for disk, before the switch
 * @param keepSource sources stay
 * @param error why it failed, is parked or is not over; null if all is well
 * @param resumed what was kept when it last went on after a crash or a restart; null if there was none
 * @param wayBack how the way back is; null where none is kept
 * @param startedAt ISO-8601
 * @param endedAt ISO-8601; null while it is not over
 * @param seconds from start to end, or until now
 * @param bases files below the disks that go with them, what lies below first; empty where disks are flattened
 * @param internalSnapshots internal snapshots of disks that go with them; empty where none do
 * @param disks disk after disk
 */
public record MigrationStatus(
        String id,
        MigrationState state,
        Phase phase,
        double progress,
        long doneBytes,
        long totalBytes,
        long bytesPerSecond,
        @Nullable Long etaSeconds,
        @Nullable Verification verification,
        @Nullable Convergence convergence,
        @Nullable EtaRange eta,
        long rateBytesPerSecond,
        String targetDatastore,
        String mode,
        String mover,
        boolean verified,
        boolean keepSource,
        @Nullable String error,
        @Nullable Resumption resumed,
        @Nullable WayBack wayBack,
        String startedAt,
        @Nullable String endedAt,
        double seconds,
        List<BaseStatus> bases,
        List<SnapshotStatus> internalSnapshots,
        List<DiskStatus> disks) {
    public MigrationStatus {
        bases = List.copyOf(bases);
        internalSnapshots = List.copyOf(internalSnapshots);
        disks = List.copyOf(disks);
    }

    /**
     * How far the comparison of both sides is, all disks together. One that is interrupted begins anew.
     *
     * @param progress percent, 0 to 100
     * @param doneBytes compared and found equal
     * @param totalBytes to compare: every byte of every disk; what both sides know to be zeroes goes quickly
     * @param bytesPerSecond how fast, smoothed
     * @param etaSeconds when it will be done at that speed; null where nobody knows
     */
    public record Verification(
            double progress,
            long doneBytes,
            long totalBytes,
            long bytesPerSecond,
            @Nullable Long etaSeconds) {}

    /**
     * The way back after the switch, all disks together.
     *
     * @param openUntil when the move is committed by itself, ISO-8601; null: when somebody does
     * @param secondsLeft until then
     * @param inStep the old sides have every byte: a rollback is possible now
     * @param behindBytes of the disks, what the old sides do not have, or may not have
     * @param trouble why an old side is away; null if none is
     */
    public record WayBack(
            @Nullable String openUntil,
            @Nullable Long secondsLeft,
            boolean inStep,
            long behindBytes,
            @Nullable String trouble) {}

    /**
     * One disk of it.
     *
     * @param name the disk
     * @param sizeBytes its size
     * @param doneBytes of its bytes to copy, done
     * @param totalBytes its bytes to copy, as far as is known
     * @param bytesCopied read from the source and written to the target by the copier
     * @param bytesMirrored of the guest's writes, sent to the target as well
     * @param switchoverPauseMillis how long no request of the guest went through at the switch; null before it
     * @param switched the guest is on the target
     * @param verified both sides were read and found equal
     * @param sourceDigest of the source's bytes at verification, hexadecimal; null without
     * @param targetDigest of the target's
     * @param mover what moves its bytes: {@code offload}, {@code native} or {@code portable}; or first one and then another
     * @param offloadRefusal why the stores did not go on copying among themselves; null if they did, or never began
     * @param proof what the last comparison found that somebody asked for; null if nobody did
     * @param rollbackPauseMillis how long no request of the guest went through on the way back; null if it did not go back
     * @param sourceDatastore where it was
     * @param sourcePath its file there
     * @param targetPath its file at the target
     * @param mirroring {@code sync} or {@code trailing}: when the guest is told that a write is done; null before that is
     *     decided
     * @param targetLatencyMillis how long the target took to answer before the copying; null if not measured
     */
    public record DiskStatus(
            String name,
            long sizeBytes,
            long doneBytes,
            long totalBytes,
            long bytesCopied,
            long bytesMirrored,
            @Nullable Double switchoverPauseMillis,
            boolean switched,
            boolean verified,
            @Nullable String sourceDigest,
            @Nullable String targetDigest,
            String mover,
            @Nullable String offloadRefusal,
            DiskRecord.@Nullable Proof proof,
            @Nullable Double rollbackPauseMillis,
            String sourceDatastore,
            String sourcePath,
            String targetPath,
            @Nullable String mirroring,
            @Nullable Double targetLatencyMillis) {}
}
