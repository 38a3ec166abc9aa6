package dev.ferry.migration;

import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.copy.PaceSettings;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What somebody wants moved.
 *
 * @param disks names, at least one, none twice
 * @param targetDatastore name of where they are to go
 * @param format what they are to become; null: what they are
 * @param provisioning likewise
 * @param shape of the qcow2 images that they are to become; null: those that are qcow2 images keep theirs
 * @param rateBytesPerSecond bound on the copying of the whole move; 0: none
 * @param verify both sides are read and compared before the switch
 * @param keepSource the source's file stays when the move is done
 * @param graceMillis how long the way back stays open after the switch; 0: not at all; negative: until a commit
 * @param pace what each disk's guest may be made to feel
 * @param strategy how the disks get to their targets
 * @param withSnapshots what disks lie over is moved too, and they lie over it there, and so are their internal snapshots; else they are
 *     flattened
 * @param dropSnapshots internal snapshots of disks may be left behind, and go with the old file
 */
public record MigrationRequest(
        List<String> disks,
        String targetDatastore,
        @Nullable ImageFormat format,
        @Nullable Provisioning provisioning,
        @Nullable Qcow2Shape shape,
        long rateBytesPerSecond,
        boolean verify,
        boolean keepSource,
        long graceMillis,
        PaceSettings pace,
        StrategySettings strategy,
        boolean withSnapshots,
        boolean dropSnapshots) {
    public MigrationRequest {
        disks = List.copyOf(disks);
    }

    /** One that flattens. */
    public MigrationRequest(
            List<String> disks,
            String targetDatastore,
            @Nullable ImageFormat format,
            @Nullable Provisioning provisioning,
            long rateBytesPerSecond,
            boolean verify,
            boolean keepSource,
            long graceMillis,
            PaceSettings pace,
            StrategySettings strategy) {
        this(
                disks,
                targetDatastore,
                format,
                provisioning,
                null,
                rateBytesPerSecond,
                verify,
                keepSource,
                graceMillis,
                pace,
                strategy,
                false,
                false);
    }

    /** One that leaves formats as they are, at the default pace. */
    public MigrationRequest(
            List<String> disks,
            String targetDatastore,
            @Nullable Provisioning provisioning,
            long rateBytesPerSecond,
            boolean verify,
            boolean keepSource) {
        this(
                disks,
                targetDatastore,
                null,
                provisioning,
                rateBytesPerSecond,
                verify,
                keepSource,
                0,
                PaceSettings.DEFAULT,
                StrategySettings.DEFAULT);
    }

    /** The same by another strategy. */
    public MigrationRequest by(StrategySettings other) {
        return with(shape, graceMillis, other, withSnapshots, dropSnapshots);
    }

    /** The same with a way back. */
    public MigrationRequest withGrace(long millis) {
        return with(shape, millis, strategy, withSnapshots, dropSnapshots);
    }

    /** The same with what disks lie over. */
    public MigrationRequest withChain() {
        return with(shape, graceMillis, strategy, true, dropSnapshots);
    }

    /** The same, to become qcow2 images of a shape. */
    public MigrationRequest shaped(Qcow2Shape other) {
        return with(other, graceMillis, strategy, withSnapshots, dropSnapshots);
    }

    /** The same, though internal snapshots go with the old file. */
    public MigrationRequest withoutSnapshots() {
        return with(shape, graceMillis, strategy, withSnapshots, true);
    }

    private MigrationRequest with(
            @Nullable Qcow2Shape otherShape,
            long otherGraceMillis,
            StrategySettings otherStrategy,
            boolean along,
            boolean dropped) {
        return new MigrationRequest(
                disks,
                targetDatastore,
                format,
                provisioning,
                otherShape,
                rateBytesPerSecond,
                verify,
                keepSource,
                otherGraceMillis,
                pace,
                otherStrategy,
                along,
                dropped);
    }

    /** As the command line has it without options: verified, as fast as it goes, the source deleted. */
    public static MigrationRequest of(String disk, String targetDatastore) {
        return new MigrationRequest(List.of(disk), targetDatastore, null, 0, true, false);
    }
}
