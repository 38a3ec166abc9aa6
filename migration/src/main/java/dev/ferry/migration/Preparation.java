package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.Stacks;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What happens before the disks of a move are at work: what they lie over is brought to the target, their targets are made, and each
 * gets its carrier; again for one that has lost its target for good.
 *
 * <p>Thread: that of the move.
 */
final class Preparation {
    private static final Logger LOG = LoggerFactory.getLogger(Preparation.class);

    private final Move move;
    private final MoveWork work;
    private final Ledger ledger;
    private final MoveWork.Surroundings around;
    private final TargetMaker targets;

    Preparation(Move move, MoveWork work, Ledger ledger, MoveWork.Surroundings around) {
        this.move = move;
        this.work = work;
        this.ledger = ledger;
        this.around = around;
        this.targets = new TargetMaker(move, ledger, around, work.snapshots());
    }

    /** From the beginning, or anew after a crash. */
    void make() throws BlockException, CalledOff {
        boolean again = ledger.record().phase() == Phase.CREATE;
        ledger.phase(Phase.CREATE, MigrationState.RUNNING, null);
        MoveRecord begun = ledger.record();
        List<DiskSide> made = new ArrayList<>();
        try {
            for (int i = 0; i < begun.disks().size(); i++) {
                if (again) {
                    targets.discard(i);
                }
                Merging.settle(around.stacks(), work.revival().specOf(i));
                MovingDisk disk =
                        new MovingDisk(i, around.stacks().acquire(work.revival().specOf(i)));
                boolean filesFirst =
                        !begun.below().isEmpty() || begun.disks().get(i).snapshots() != null;
                disk.expectedBytes = filesFirst ? Stacks.allocatedBytes(disk.disk.path()) : 0;
                work.together().add(disk);
            }
            work.bases().carry(work.disks());
            for (MovingDisk disk : work.disks()) {
                made.add(targets.make(disk));
            }
            ledger.phase(Phase.COPY, MigrationState.RUNNING, null);
            for (MovingDisk disk : work.disks()) {
                disk.carrier = carrierOf(disk);
                start(disk, made.get(disk.index));
                made.set(disk.index, null);
            }
        } finally {
            for (DiskSide left : made) {
                if (left != null) {
                    left.close();
                }
            }
        }
    }

    private Carrier carrierOf(MovingDisk disk) {
        MoveRecord record = ledger.record();
        boolean layered = record.disks().get(disk.index).layered();
        return around.carriers().of(disk.disk, move.eventsOf(disk), record.how(), layered);
    }

    private void start(MovingDisk disk, DiskSide target) throws BlockException {
        set(disk);
        work.spreadRate();
        if (move.paused()) {
            disk.carrier().pause();
        }
        disk.carrier().start(target, work.revival().stepsOf(disk.index));
    }

    /** Tells a disk's carrier what the move is to be like. */
    void set(MovingDisk disk) {
        disk.carrier().pace(move.pace());
        if (ledger.record().keepSource() || ledger.record().grace() != null) {
            disk.carrier().keepSource();
        }
    }

    /** To the target that there was; or, if that is no more, to a new one, from the beginning. */
    void attach(MovingDisk disk) throws BlockException {
        DiskSide target;
        try {
            target = targets.reopen(disk);
        } catch (BlockException e) {
            if (e.kind() != ErrorKind.NOT_FOUND) {
                throw e;
            }
            if (ledger.record().disks().get(disk.index).snapshots() != null) {
                work.fail(Planner.refusal(
                        ErrorKind.NOT_FOUND,
                        "disk " + disk.disk.name(),
                        "the target is lost, with the snapshots that were there ("
                                + e.error().detail() + "); the guest stays on the source; move it anew"));
                return;
            }
            LOG.warn("migration {}: {}; a new target is made, and all is copied again", move.id(), e.getMessage());
            disk.carrier().abandon();
            work.revival().stepsOf(disk.index).delete();
            targets.discard(disk.index);
            try {
                target = targets.make(disk);
            } catch (CalledOff calledOff) {
                throw Planner.refusal(ErrorKind.CANCELLED, "migration " + move.id(), "it has been called off");
            }
            disk.carrier = carrierOf(disk);
            start(disk, target);
            return;
        }
        work.spreadRate();
        try {
            disk.carrier().attach(target);
        } catch (BlockException | RuntimeException e) {
            target.close();
            throw e;
        }
    }
}
