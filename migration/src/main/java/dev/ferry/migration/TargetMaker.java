package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.datastore.NewDisk;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioner;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.journal.BaseRecord;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.LiveSnapshots;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.nio.file.Path;
import java.util.Objects;

/**
 * Makes the target of a disk: its hidden file, written down as soon as it is there, open, with its room provisioned; and
 * opens it again after a crash, or when it was away.
 */
final class TargetMaker {
    private final Move move;
    private final Ledger ledger;
    private final MoveWork.Surroundings around;
    private final MovingSnapshots snapshots;

    TargetMaker(Move move, Ledger ledger, MoveWork.Surroundings around, MovingSnapshots snapshots) {
        this.move = move;
        this.ledger = ledger;
        this.around = around;
        this.snapshots = snapshots;
    }

    /** @return the target, open */
    DiskSide make(MovingDisk disk) throws BlockException, CalledOff {
        DiskRecord record = ledger.record().disks().get(disk.index);
        if (disk.disk.sizeBytes() != record.sizeBytes()) {
            throw Planner.refusal(ErrorKind.INVALID, "disk " + record.name(), "its size changed");
        }
        if (record.snapshots() != null) {
            return makeWithSnapshots(disk);
        }
        ImageFormat format = formatOf(record);
        NewDisk made = around.catalog()
                .datastore(ledger.record().targetDatastore())
                .create(record.name(), record.format(), format.grows() ? 0 : record.sizeBytes());
        ledger.disk(disk.index, record.withTarget(made.identity()));
        DiskSpec spec = target(disk, record, made.partial());
        format(disk.disk, spec, record);
        DiskSide target = open(disk.disk, spec);
        if (record.targetProvisioning() != Provisioning.THIN) {
            try {
                provision(target);
            } catch (BlockException | CalledOff e) {
                target.close();
                throw e;
            }
        }
        return target;
    }

    /** Its snapshots come first, and the disk has what it shares with them. */
    private DiskSide makeWithSnapshots(MovingDisk disk) throws BlockException, CalledOff {
        LiveSnapshots.share(disk.disk.side());
        DiskRecord record = ledger.record().disks().get(disk.index);
        String backing = record.backing();
        DiskSpec below =
                backing == null ? null : MovingBases.there(ledger.record().base(backing));
        return openWithSnapshots(disk, target(disk, record, snapshots.bring(disk, below)));
    }

    /** @throws BlockException of kind {@link ErrorKind#NOT_FOUND} if other snapshots are there */
    private DiskSide openWithSnapshots(MovingDisk disk, DiskSpec spec) throws BlockException {
        LiveSnapshots.share(disk.disk.side());
        DiskSide side = open(disk.disk, spec);
        try {
            LiveSnapshots.share(disk.disk.side(), side);
            return side;
        } catch (BlockException | RuntimeException e) {
            side.close();
            throw e;
        }
    }

    private void format(OpenDisk disk, DiskSpec spec, DiskRecord record) throws BlockException {
        String backing = record.backing();
        if (backing == null) {
            Qcow2Shape shape = record.targetShape();
            around.stacks().format(disk, spec, record.sizeBytes(), shape == null ? Qcow2Shape.USUAL : shape);
            return;
        }
        BaseRecord below = ledger.record().base(backing);
        DiskSpec base = MovingBases.there(below);
        around.stacks().formatOver(disk, spec, spec.format().paddedBytes(record.sizeBytes()), base);
    }

    static ImageFormat formatOf(DiskRecord record) throws BlockException {
        return ImageFormat.of(record.format())
                .orElseThrow(() -> Planner.refusal(
                        ErrorKind.UNSUPPORTED, "disk " + record.name(), "no format " + record.format()));
    }

    /** What a disk was before its move. */
    static ImageFormat formerOf(DiskRecord record) throws BlockException {
        DiskRecord.Former former = record.former();
        return ImageFormat.of(former == null ? record.format() : former.format())
                .orElseThrow(() -> Planner.refusal(
                        ErrorKind.UNSUPPORTED, "disk " + record.name(), "no such format as it had before"));
    }

    /** Takes away what was made for a disk before, whole or not; but not snapshots that are there already. */
    void discard(int index) throws BlockException {
        DiskRecord record = ledger.record().disks().get(index);
        if (MovingSnapshots.areThere(record)) {
            return;
        }
        String identity = record.targetIdentity();
        if (identity != null) {
            DiskFiles.discard(record.targetFile(), identity);
        }
        DiskFiles.discardPartial(record.targetFile());
    }

    /**
     * Opens the target that there was, under its hidden name.
     *
     * @throws BlockException of kind {@link ErrorKind#NOT_FOUND} if it is no more; of any other kind if it is away
     */
    DiskSide reopen(MovingDisk disk) throws BlockException {
        DiskRecord record = ledger.record().disks().get(disk.index);
        String identity = Objects.requireNonNull(record.targetIdentity());
        Path file = record.targetFile();
        if (!DiskFiles.sameFileSystem(file, identity)) {
            throw Planner.refusal(
                    ErrorKind.UNAVAILABLE,
                    "datastore " + ledger.record().targetDatastore(),
                    "it is not there, or another file system is mounted in its place");
        }
        around.catalog().datastore(ledger.record().targetDatastore()).check();
        DiskFiles.hide(file, identity);
        Path partial = DiskFiles.partialOf(file);
        if (!DiskFiles.isFile(partial, identity)) {
            throw Planner.refusal(ErrorKind.NOT_FOUND, "target " + partial, "it is gone, or another file has its name");
        }
        DiskSpec spec = target(disk, record, partial);
        return record.snapshots() == null ? open(disk.disk, spec) : openWithSnapshots(disk, spec);
    }

    private static DiskSpec target(MovingDisk disk, DiskRecord record, Path file) throws BlockException {
        return new DiskSpec(
                record.name(),
                file,
                record.targetProvisioning(),
                false,
                disk.disk.side().spec().direct(),
                formatOf(record),
                record.sizeBytes());
    }

    /**
     * Opens the source that there was, as the other side of the way back.
     *
     * @throws BlockException if it is away, or no more
     */
    DiskSide reopenSource(MovingDisk disk) throws BlockException {
        DiskRecord record = ledger.record().disks().get(disk.index);
        DiskRecord.Former former = Objects.requireNonNull(record.former());
        Path file = record.sourceFile();
        if (!DiskFiles.sameFileSystem(file, record.sourceIdentity())) {
            throw Planner.refusal(
                    ErrorKind.UNAVAILABLE,
                    "datastore " + record.sourceDatastore(),
                    "it is not there, or another file system is mounted in its place");
        }
        if (!DiskFiles.isFile(file, record.sourceIdentity())) {
            throw Planner.refusal(ErrorKind.NOT_FOUND, "source " + file, "it is gone, or another file has its name");
        }
        boolean direct = disk.disk.side().spec().direct();
        DiskSpec spec = new DiskSpec(
                record.name(), file, former.provisioning(), false, direct, formerOf(record), record.sizeBytes());
        return record.snapshots() == null ? open(disk.disk, spec) : openWithSnapshots(disk, spec);
    }

    /** Past the page cache if the source is, and if the target's file system can do that. */
    private DiskSide open(OpenDisk disk, DiskSpec spec) throws BlockException {
        try {
            return around.stacks().openSide(disk, spec);
        } catch (BlockException e) {
            if (!spec.direct() || e.kind() != ErrorKind.UNSUPPORTED) {
                throw e;
            }
            return around.stacks().openSide(disk, spec.cached());
        }
    }

    /** Reserves or writes the target's room, which may take long and can be called off. */
    private void provision(DiskSide target) throws BlockException, CalledOff {
        boolean[] done = new boolean[1];
        Provisioner provisioner = new Provisioner(
                target.loop().loop(),
                target.spec().format() == ImageFormat.RAW ? target.file() : target.device(),
                target.spec().provisioning(),
                error -> move.post(() -> {
                    done[0] = true;
                    if (error != null) {
                        move.fail(error.toException());
                    }
                }));
        OnLoop.run(target.loop().loop(), provisioner::start);
        try {
            move.until(() -> done[0]);
        } catch (CalledOff e) {
            provisioner.stop();
            while (!done[0]) {
                move.handleOne();
            }
            throw e;
        }
    }
}
