package dev.ferry.migration;

import dev.ferry.migration.Carrier.Figures;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.stack.OpenDisk;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** One disk of a move that is at work. Thread: that of the move, except what is marked. */
final class MovingDisk {
    /** How far this disk is. */
    enum Stage {
        COPYING,
        COPIED,
        VERIFYING,
        VERIFIED,
        LOST,
        SWITCHED
    }

    final int index;
    final OpenDisk disk;
    Stage stage = Stage.COPYING;

    /** Before it is copied: bytes to copy, for all that is known. */
    long expectedBytes;

    /** Null until it is known how the bytes get to the target. */
    @Nullable
    Carrier carrier;

    /** What had been kept, if the move goes on after a crash. */
    StepFiles.@Nullable Found found;

    /** Any thread. */
    volatile Figures figures = Figures.NONE;

    /** Any thread. */
    volatile @Nullable Convergence convergence;

    @Nullable
    Verdict verdict;

    /** Why its other side is away, on the way back; null if it is not. */
    @Nullable
    String trouble;

    MovingDisk(int index, OpenDisk disk) {
        this.index = index;
        this.disk = disk;
    }

    Carrier carrier() {
        return Objects.requireNonNull(carrier);
    }

    /** Of its bytes, how many have been compared and found equal. */
    long verifiedBytes() {
        return switch (stage) {
            case VERIFYING -> figures.verifiedBytes();
            case VERIFIED -> disk.sizeBytes();
            case COPYING, COPIED, LOST, SWITCHED -> 0;
        };
    }

    /** A disk's record with the figures of this moment. */
    DiskRecord withFigures(DiskRecord record, String usualMover) {
        Figures now = figures;
        DiskRecord.Outcome before = record.outcome();
        return record.withOutcome(new DiskRecord.Outcome(
                now.doneBytes(),
                now.totalBytes(),
                now.bytesCopied(),
                now.bytesMirrored(),
                before.switchoverPauseMillis(),
                before.verified(),
                before.sourceDigest(),
                before.targetDigest(),
                now.mirroring() == null ? before.mirroring() : now.mirroring(),
                now.mirroring() == null ? before.targetLatencyMillis() : now.targetLatencyMillis(),
                now.offload().mover(usualMover),
                now.offload().refusal()));
    }
}
