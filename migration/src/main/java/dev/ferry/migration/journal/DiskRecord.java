package dev.ferry.migration.journal;

import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.stack.PartRecord;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One disk of a migration at one step.
 *
 * @param name the disk
 * @param format of the target
 * @param sizeBytes its size
 * @param sourceDatastore where it was
 * @param sourcePath its file there
 * @param sourceIdentity tells that file from a later one of its name
 * @param targetPath its file at the target
 * @param targetProvisioning what it becomes
 * @param targetShape of the qcow2 image that it becomes; null: it becomes none, or one as is usual, or as what it lies over demands
 * @param targetIdentity tells the target's file from any other; null before it is made
 * @param authority which side is the disk
 * @param told the inventory has written down that the disk is at the target
 * @param sourceGone the source's file is deleted
 * @param targetGone the target's file is deleted
 * @param differences ranges in which comparisons found the target to differ; null if none
 * @param repairs how often what differed was copied again; null if never
 * @param former what the source is, for the way back; null in records of versions that had none
 * @param proof what the last comparison found that somebody asked for; null if nobody did
 * @param outcome figures for people
 */
public record DiskRecord(
        String name,
        String format,
        long sizeBytes,
        String sourceDatastore,
        String sourcePath,
        String sourceIdentity,
        String targetPath,
        Provisioning targetProvisioning,
        @Nullable Qcow2Shape targetShape,
        @Nullable String targetIdentity,
        Authority authority,
        boolean told,
        boolean sourceGone,
        boolean targetGone,
        @Nullable List<String> differences,
        @Nullable Integer repairs,
        @Nullable Former former,
        @Nullable Proof proof,
        Outcome outcome) {
    public DiskRecord {
        differences = differences == null ? null : List.copyOf(differences);
    }

    /**
     * What a comparison found that somebody asked for.
     *
     * @param atMillis when it ended, in milliseconds since 1970
     * @param phase where the move was
     * @param comparedBytes of the disk; what was not at the target by then was left out
     * @param equal no byte of that differed
     * @param sourceDigest root of the digest tree of the source, hexadecimal; null unless all was compared
     * @param targetDigest of the target
     * @param differences the first ranges that differed
     * @param mended what differed is copied again
     * @param failure why it came to nothing; null if it did not
     */
    public record Proof(
            long atMillis,
            String phase,
            long comparedBytes,
            boolean equal,
            @Nullable String sourceDigest,
            @Nullable String targetDigest,
            List<String> differences,
            boolean mended,
            @Nullable String failure) {
        public Proof {
            differences = List.copyOf(differences);
        }
    }

    /**
     * What a disk was where it came from.
     *
     * @param format such as {@code raw}
     * @param provisioning what its format upheld
     * @param rollbackPauseMillis how long the guest waited on its way back; null if it did not go back
     * @param backing path of the file that it lay over, which is moved too ({@link BaseRecord}); null: it is flattened, or lay over
     *     nothing
     * @param parts files that hold it besides its own; null: none
     * @param snapshots its internal snapshots, which are moved with it; null: none
     */
    public record Former(
            String format,
            Provisioning provisioning,
            @Nullable Double rollbackPauseMillis,
            @Nullable String backing,
            @Nullable List<PartRecord> parts,
            @Nullable SnapshotRecord snapshots) {
        public Former {
            parts = parts == null ? null : List.copyOf(parts);
        }
    }

    /** Files that hold the disk at the source besides its own. */
    public List<PartRecord> sourceParts() {
        List<PartRecord> parts = former == null ? null : former.parts();
        return parts == null ? List.of() : parts;
    }

    /** The file that the disk lies over on both sides; null: on the target it lies over none. */
    public @Nullable String backing() {
        return former == null ? null : former.backing();
    }

    /** The internal snapshots that are moved with the disk; null: none. */
    public @Nullable SnapshotRecord snapshots() {
        return former == null ? null : former.snapshots();
    }

    /** What both sides have the same before any of the disk is copied: what it lies over, or its snapshots. */
    public boolean layered() {
        return backing() != null || snapshots() != null;
    }

    /**
     * Figures of a disk's move.
     *
     * @param doneBytes of the bytes to copy, done
     * @param totalBytes bytes to copy
     * @param bytesCopied written to the target by the copier
     * @param bytesMirrored of the guest's writes, sent to the target too
     * @param switchoverPauseMillis how long the guest waited at the switch; null before
     * @param verified both sides were found equal
     * @param sourceDigest hexadecimal; null without verification
     * @param targetDigest hexadecimal; null without verification
     * @param mirroring when the guest was told that a write is done; null where there was no mirror
     * @param targetLatencyMillis how long the target took to answer before the copying; null if not measured
     * @param mover what moved the bytes; null: what the move says
     * @param offloadRefusal why the stores did not go on copying among themselves; null if they did, or never began
     */
    public record Outcome(
            long doneBytes,
            long totalBytes,
            long bytesCopied,
            long bytesMirrored,
            @Nullable Double switchoverPauseMillis,
            boolean verified,
            @Nullable String sourceDigest,
            @Nullable String targetDigest,
            @Nullable Mirroring mirroring,
            @Nullable Double targetLatencyMillis,
            @Nullable String mover,
            @Nullable String offloadRefusal) {
        public static final Outcome NONE = new Outcome(0, 0, 0, 0, null, false, null, null, null, null, null, null);

        /** The same, with how long the guest waited at the switch. */
        public Outcome withPause(double millis) {
            return new Outcome(
                    doneBytes,
                    totalBytes,
                    bytesCopied,
                    bytesMirrored,
                    millis,
                    verified,
                    sourceDigest,
                    targetDigest,
                    mirroring,
                    targetLatencyMillis,
                    mover,
                    offloadRefusal);
        }

        /** The same, with what the comparison of both sides has found. */
        public Outcome withVerdict(boolean equal, String source, String target) {
            return new Outcome(
                    doneBytes,
                    totalBytes,
                    bytesCopied,
                    bytesMirrored,
                    switchoverPauseMillis,
                    equal,
                    source,
                    target,
                    mirroring,
                    targetLatencyMillis,
                    mover,
                    offloadRefusal);
        }
    }

    public Path sourceFile() {
        return Path.of(sourcePath);
    }

    public Path targetFile() {
        return Path.of(targetPath);
    }

    public DiskRecord withTarget(String identity) {
        return with(identity, authority, told, sourceGone, targetGone, former, outcome);
    }

    public DiskRecord withAuthority(Authority side) {
        return with(targetIdentity, side, told, sourceGone, targetGone, former, outcome);
    }

    public DiskRecord withTold() {
        return with(targetIdentity, authority, true, sourceGone, targetGone, former, outcome);
    }

    /** The guest is back on the source, and the inventory says so. */
    public DiskRecord withBack() {
        return with(targetIdentity, authority, false, sourceGone, targetGone, former, outcome);
    }

    /** The guest has gone back to the source. */
    public DiskRecord withRollbackPause(double millis) {
        Former was = former == null
                ? null
                : new Former(
                        former.format(),
                        former.provisioning(),
                        millis,
                        former.backing(),
                        former.parts(),
                        former.snapshots());
        return with(targetIdentity, authority, told, sourceGone, targetGone, was, outcome);
    }

    public DiskRecord withSnapshots(SnapshotRecord now) {
        Former was = former == null
                ? null
                : new Former(
                        former.format(),
                        former.provisioning(),
                        former.rollbackPauseMillis(),
                        former.backing(),
                        former.parts(),
                        now);
        return with(targetIdentity, authority, told, sourceGone, targetGone, was, outcome);
    }

    public DiskRecord withSourceGone() {
        return with(targetIdentity, authority, told, true, targetGone, former, outcome);
    }

    public DiskRecord withTargetGone() {
        return with(targetIdentity, authority, told, sourceGone, true, former, outcome);
    }

    public DiskRecord withOutcome(Outcome figures) {
        return with(targetIdentity, authority, told, sourceGone, targetGone, former, figures);
    }

    /** Ranges in which comparisons found the target to differ, before it was repaired. */
    public List<String> found() {
        return differences == null ? List.of() : differences;
    }

    /** How often what differed was copied again. */
    public int rounds() {
        return repairs == null ? 0 : repairs;
    }

    public DiskRecord withDifferences(List<String> named, int count) {
        return new DiskRecord(
                name,
                format,
                sizeBytes,
                sourceDatastore,
                sourcePath,
                sourceIdentity,
                targetPath,
                targetProvisioning,
                targetShape,
                targetIdentity,
                authority,
                told,
                sourceGone,
                targetGone,
                named,
                count,
                former,
                proof,
                outcome);
    }

    public DiskRecord withProof(Proof found) {
        return new DiskRecord(
                name,
                format,
                sizeBytes,
                sourceDatastore,
                sourcePath,
                sourceIdentity,
                targetPath,
                targetProvisioning,
                targetShape,
                targetIdentity,
                authority,
                told,
                sourceGone,
                targetGone,
                differences,
                repairs,
                former,
                found,
                outcome);
    }

    private DiskRecord with(
            @Nullable String identity,
            Authority side,
            boolean wasTold,
            boolean noSource,
            boolean noTarget,
            @Nullable Former was,
            Outcome figures) {
        return new DiskRecord(
                name,
                format,
                sizeBytes,
                sourceDatastore,
                sourcePath,
                sourceIdentity,
                targetPath,
                targetProvisioning,
                targetShape,
                identity,
                side,
                wasTold,
                noSource,
                noTarget,
                differences,
                repairs,
                was,
                proof,
                figures);
    }
}
