package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.NewDisk;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioner;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;

/** Makes the target of a disk: its hidden file, written down as soon as it is there, open, with its room provisioned. */
final class TargetMaker {
    private final Move move;
    private final Ledger ledger;
    private final MoveWork.Surroundings around;

    TargetMaker(Move move, Ledger ledger, MoveWork.Surroundings around) {
        this.move = move;
        this.ledger = ledger;
        this.around = around;
    }

    void make(MovingDisk disk) throws BlockException, CalledOff {
        DiskRecord record = ledger.record().disks().get(disk.index);
        if (disk.disk.sizeBytes() != record.sizeBytes()) {
            throw Planner.refusal(ErrorKind.INVALID, "disk " + record.name(), "its size changed");
        }
        ImageFormat format = ImageFormat.of(record.format())
                .orElseThrow(() -> Planner.refusal(
                        ErrorKind.UNSUPPORTED, "disk " + record.name(), "no format " + record.format()));
        NewDisk made = around.catalog()
                .datastore(ledger.record().targetDatastore())
                .create(record.name(), record.format(), format.grows() ? 0 : record.sizeBytes());
        ledger.disk(disk.index, record.withTarget(made.identity()));
        DiskSpec source = disk.disk.side().spec();
        DiskSpec spec = new DiskSpec(
                record.name(), made.partial(), record.targetProvisioning(), false, source.direct(), format);
        around.stacks().format(disk.disk, spec, record.sizeBytes());
        DiskSide target = open(disk.disk, spec);
        disk.target = target;
        if (record.targetProvisioning() != Provisioning.THIN) {
            provision(target);
        }
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
