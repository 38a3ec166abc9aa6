package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.datastore.NewDisk;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.MovingBases.TargetFailed;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.SnapshotRecord;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.LiveSnapshots;
import dev.ferry.stack.OpenDisk;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Begins the target of a disk that moves with its internal snapshots: a file that holds them, and what the disk has in common with
 * them, at the same places as the old one; copied beside the guest, at the rate of the move, compared if the move compares. The mirror
 * then brings only what the disk has besides. A target that fails parks the move, and is begun anew; so it is after a crash.
 *
 * <p>Thread: that of the move.
 */
final class MovingSnapshots {
    private static final Logger LOG = LoggerFactory.getLogger(MovingSnapshots.class);
    /** A target that differs from what was written to it so often does not keep what it is given. */
    private static final int ATTEMPTS_MAX = 3;

    private final Move move;
    private final Ledger ledger;
    private final MoveWork.Surroundings around;
    private final MovingBases files;
    private final Parking parking;

    MovingSnapshots(Move move, Ledger ledger, MoveWork.Surroundings around, MovingBases files, Parking parking) {
        this.move = move;
        this.ledger = ledger;
        this.around = around;
        this.files = files;
        this.parking = parking;
    }

    /**
     * Makes the file and fills it.
     *
     * @param below what the disk is to lie over at the target; null: nothing
     * @return where it is, under its hidden name
     */
    Path bring(MovingDisk disk, @Nullable DiskSpec below) throws BlockException, CalledOff {
        if (areThere(record(disk))) {
            disk.expectedBytes = Math.max(0, disk.expectedBytes - SnapshotStatus.totalBytes(record(disk)));
            return DiskFiles.partialOf(record(disk).targetFile());
        }
        LiveSnapshots.Taken taken = LiveSnapshots.of(disk.disk.side(), below);
        disk.expectedBytes = Math.max(0, disk.expectedBytes - taken.keptBytes());
        for (int attempt = 1; attempt <= ATTEMPTS_MAX; ) {
            try {
                NewDisk made = bring(disk, taken);
                if (made != null) {
                    return made.partial();
                }
                attempt++;
                LOG.warn(
                        "migration {}: the snapshots of {} differ; they are copied again", move.id(), disk.disk.name());
            } catch (TargetFailed failed) {
                parking.waitForBase(failed.why());
                move.until(() -> !parking.waitsForBase());
            }
        }
        throw Planner.refusal(
                ErrorKind.CORRUPT,
                "disk " + disk.disk.name(),
                "the copy of its snapshots still differs after " + ATTEMPTS_MAX
                        + " attempts; the target does not keep what is written to it; the guest stays on the source");
    }

    /**
     * An earlier process has brought them, and nothing has come into their file since that anybody needs. One that lies over another
     * file is made anew, since that may be called something else by now.
     */
    static boolean areThere(DiskRecord record) throws BlockException {
        SnapshotRecord snapshots = record.snapshots();
        String identity = record.targetIdentity();
        return snapshots != null
                && snapshots.done()
                && record.backing() == null
                && identity != null
                && DiskFiles.isFile(DiskFiles.partialOf(record.targetFile()), identity);
    }

    private DiskRecord record(MovingDisk disk) {
        return ledger.record().disks().get(disk.index);
    }

    /** @return null if the target has other bytes than were written to it */
    private @Nullable NewDisk bring(MovingDisk disk, LiveSnapshots.Taken taken)
            throws BlockException, CalledOff, TargetFailed {
        SnapshotRecord snapshots = Objects.requireNonNull(record(disk).snapshots());
        NewDisk made = make(disk, taken);
        ledger.disk(
                disk.index, record(disk).withTarget(made.identity()).withSnapshots(snapshots.of(taken.keptBytes())));
        DiskSide file;
        try {
            file = around.stacks().openSide(disk.disk, raw(disk.disk, made));
        } catch (BlockException e) {
            throw new TargetFailed(e);
        }
        BaseTransfer.Result result = files.transfer(
                disk.disk, taken.bytes(), file, true, ledger.record().verify());
        if (result.differs()) {
            return null;
        }
        DiskRecord record = record(disk);
        ledger.disk(
                disk.index,
                record.withSnapshots(Objects.requireNonNull(record.snapshots()).finished(result.digest())));
        return made;
    }

    private NewDisk make(MovingDisk disk, LiveSnapshots.Taken taken) throws BlockException, TargetFailed {
        try {
            forget(disk);
            return around.catalog()
                    .datastore(ledger.record().targetDatastore())
                    .create(
                            record(disk).name(),
                            record(disk).format(),
                            taken.bytes().geometry().sizeBytes());
        } catch (BlockException e) {
            if (e.kind() == ErrorKind.BUSY) {
                throw e;
            }
            throw new TargetFailed(e);
        }
    }

    /** What an earlier attempt has left. */
    private void forget(MovingDisk disk) throws BlockException {
        DiskRecord record = record(disk);
        String identity = record.targetIdentity();
        if (identity != null) {
            DiskFiles.discard(record.targetFile(), identity);
        }
    }

    private static DiskSpec raw(OpenDisk disk, NewDisk made) {
        return new DiskSpec(disk.name(), made.partial(), Provisioning.THIN, false, false, ImageFormat.RAW);
    }
}
