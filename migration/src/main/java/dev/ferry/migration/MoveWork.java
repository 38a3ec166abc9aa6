package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.MovingDisk.Stage;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.stack.LiveSnapshots;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The work of a {@link Move}, phase after phase.
 *
 * <p>Every disk has a stage of its own, and what is done next follows from the stages of all: as long as one has lost its
 * target the move is parked; as long as one is not copied it copies; when all are copied they are verified, one after the
 * other, and when all are verified they are switched, all at once ({@link Switching}). A disk that loses its target on the
 * way goes back to copying what is missing. A move that was interrupted begins with {@link Revival}.
 *
 * <p>Thread: that of the move.
 */
final class MoveWork {
    private static final Logger LOG = LoggerFactory.getLogger(MoveWork.class);

    /**
     * What a move works with.
     *
     * @param steps where it is recorded what is in step
     * @param workers where those records are written, and waited for
     * @param nanoTime nanoseconds since some fixed instant
     * @param probing how a parked move looks whether it can go on
     * @param receipts where receipts are kept
     * @param bases files below disks, as far as they are shared
     */
    record Surroundings(
            Stacks stacks,
            Catalog catalog,
            Carrier.Factory carriers,
            StepFiles steps,
            Executor workers,
            LongSupplier nanoTime,
            Probing probing,
            Receipts receipts,
            BaseFiles bases) {
        Surroundings(
                Stacks stacks,
                Catalog catalog,
                Carrier.Factory carriers,
                StepFiles steps,
                Executor workers,
                LongSupplier nanoTime,
                Probing probing,
                Receipts receipts) {
            this(stacks, catalog, carriers, steps, workers, nanoTime, probing, receipts, new BaseFiles(stacks));
        }
    }

    private final Move move;
    private final Ledger ledger;
    private final Surroundings around;
    private final Preparation preparation;
    private final Switching switching;
    private final Revival revival;
    private final Keeping keeping;
    private final Proving proving;
    private final MovingDisks disks = new MovingDisks();
    private final Parking parking;
    private final Mending mending;
    private final MovingBases bases;
    private final MovingSnapshots snapshots;
    private @Nullable BlockException failure;

    MoveWork(Move move, Ledger ledger, Surroundings around) {
        this.move = move;
        this.ledger = ledger;
        this.around = around;
        this.switching = new Switching(move, this, ledger);
        this.revival = new Revival(move, ledger, around, false, move::eventsOf);
        String datastore = ledger.record().targetDatastore();
        this.parking = new Parking(
                move,
                this,
                disks,
                around.probing(),
                () -> around.catalog().datastore(datastore).space(),
                around.workers());
        this.mending = new Mending(ledger);
        this.bases = new MovingBases(move, ledger, around, parking);
        this.snapshots = new MovingSnapshots(move, ledger, around, bases, parking);
        this.keeping = new Keeping(move, this, ledger, around);
        this.preparation = new Preparation(move, this, ledger, around);
        this.proving = new Proving(move, this, ledger);
    }

    /** Any thread. */
    List<MovingDisk> disks() {
        return disks.all();
    }

    /** What lies below the disks and is moved with them. */
    MovingBases bases() {
        return bases;
    }

    /** The internal snapshots of the disks. */
    MovingSnapshots snapshots() {
        return snapshots;
    }

    /** How the move waits, and goes on. */
    Parking parking() {
        return parking;
    }

    /** The disks, all at once. */
    MovingDisks together() {
        return disks;
    }

    /** That of the way that is open: to the target, or back. Any thread. */
    Revival revival() {
        return ledger.record().kept() ? keeping.sides().revival() : revival;
    }

    Keeping keeping() {
        return keeping;
    }

    Proving proving() {
        return proving;
    }

    /** Begins a comparison that somebody asked for. */
    void prove() throws BlockException {
        if (switching.underWay() || keeping.ending()) {
            throw Planner.refusal(
                    ErrorKind.BUSY, "migration " + move.id(), "its guests are about to pass; try again in a moment");
        }
        proving.start(ledger.record().kept() ? keeping.sides().all() : disks.all());
    }

    /** Writes down what such a comparison found. */
    void prove(int index, DiskRecord.Proof proof) throws BlockException {
        if (ledger.record().kept()) {
            keeping.prove(index, proof);
        } else {
            ledger.disk(index, ledger.record().disks().get(index).withProof(proof));
        }
    }

    long nanoTime() {
        return around.nanoTime().getAsLong();
    }

    // ---- until every guest is on its target

    void carry() throws BlockException, CalledOff {
        move.handleMail();
        switch (ledger.record().phase()) {
            case PREPARE, CREATE -> preparation.make();
            case COPY, VERIFY, SWITCH -> takeUp();
            case KEEP, ROLLBACK, COMMIT, UNDO, END -> throw new IllegalStateException("a move that is decided goes on");
        }
        while (!disks.each(Stage.SWITCHED)) {
            step();
        }
    }

    /** Goes on where an earlier process was. */
    private void takeUp() throws BlockException, CalledOff {
        disks.addMissing(revival.disks());
        for (MovingDisk disk : disks.all()) {
            disk.stage = Stage.LOST;
            preparation.set(disk);
            if (move.paused()) {
                disk.carrier().pause();
            }
        }
        try {
            unpark();
        } catch (BlockException e) {
            parking.park("the target is away: " + e.getMessage());
        }
    }

    /** One thing out of what is to be done next. */
    private void step() throws BlockException, CalledOff {
        if (disks.any(Stage.LOST) || switching.doubtful()) {
            move.until(() -> !disks.any(Stage.LOST) && !switching.doubtful());
        } else if (disks.any(Stage.COPYING)) {
            enter(Phase.COPY);
            spreadRate();
            int before = disks.copying();
            move.until(() -> disks.any(Stage.LOST) || disks.copying() != before);
        } else if (ledger.record().verify() && (disks.any(Stage.COPIED) || disks.any(Stage.VERIFYING))) {
            enter(Phase.VERIFY);
            verifyNext();
        } else {
            // What somebody has asked to be compared is compared before the sides part.
            BooleanSupplier free = () -> !move.paused() && !proving.running();
            move.until(() -> disks.any(Stage.LOST) || disks.any(Stage.COPYING) || free.getAsBoolean());
            if (!disks.any(Stage.LOST) && !disks.any(Stage.COPYING)) {
                enter(Phase.SWITCH);
                switching.attempt();
            }
        }
    }

    private void enter(Phase phase) throws BlockException {
        if (ledger.record().phase() != phase) {
            List<DiskRecord> records = new ArrayList<>(ledger.record().disks());
            for (MovingDisk disk : disks.all()) {
                records.set(
                        disk.index,
                        disk.withFigures(
                                records.get(disk.index), ledger.record().mover()));
            }
            MigrationState state = move.paused() ? MigrationState.PAUSED : MigrationState.RUNNING;
            ledger.write(phase, state, null, records);
        }
    }

    private void verifyNext() throws BlockException, CalledOff {
        move.until(() -> disks.any(Stage.LOST) || !move.paused());
        for (MovingDisk disk : disks.all()) {
            if (disk.stage == Stage.COPIED) {
                disk.stage = Stage.VERIFYING;
                spreadRate();
                disk.carrier().verify();
                break;
            }
        }
        move.until(() -> disks.any(Stage.LOST) || !disks.any(Stage.VERIFYING));
    }

    /** The inventory follows at once if it can; else with the commit. */
    void tell(MovingDisk disk, DiskRecord switched) throws BlockException {
        try {
            around.catalog()
                    .moved(
                            switched.name(),
                            ledger.record().targetDatastore(),
                            switched.targetFile(),
                            switched.targetProvisioning());
        } catch (BlockException e) {
            LOG.warn("migration {}: the inventory did not follow yet", move.id(), e);
            return;
        }
        ledger.disk(disk.index, switched.withTold());
    }

    /** Forgets what was recorded on the way to the target. */
    void forgetSteps() throws BlockException {
        revival.forgetSteps();
    }

    // ---- after the switch

    void commit() throws BlockException {
        release();
        try {
            if (ledger.record().phase() != Phase.COMMIT) {
                ledger.phase(Phase.COMMIT, MigrationState.SWITCHED, null);
            }
            revival.forgetSteps();
            keeping.sides().revival().forgetSteps();
            Recovery.settleDisks(ledger, around.catalog(), around.bases());
            ledger.phase(Phase.END, MigrationState.DONE, keeping.note());
        } catch (BlockException e) {
            LOG.error("migration {}: switched, but not committed", move.id(), e);
            ledger.phase(
                    Phase.COMMIT,
                    MigrationState.SWITCHED,
                    e.getMessage() + "; 'ferry migration commit " + move.id() + "' tries again");
        }
    }

    /** Undoes what has no decision, and commits what has one. */
    void undo(MigrationState meant, @Nullable String why) throws BlockException {
        disks.addMissing(revival.guarded());
        disks.abandon();
        release();
        boolean none = ledger.record().disks().stream().noneMatch(disk -> disk.authority() == Authority.TARGET);
        String error = none ? why : Recovery.switchedInPart(ledger.record(), why);
        ledger.phase(Phase.UNDO, meant, error);
        revival.forgetSteps();
        keeping.sides().revival().forgetSteps();
        Recovery.discardTargets(ledger, around.bases());
        if (!none) {
            Recovery.settleDisks(ledger, around.catalog(), around.bases());
        }
        ledger.phase(Phase.END, meant, error);
    }

    /** Takes the move's use of its disks away. */
    void release() {
        keeping.sides().release();
        for (MovingDisk disk : disks.all()) {
            OpenDisk open = disk.disk;
            try {
                try {
                    LiveSnapshots.part(open.side());
                } finally {
                    around.stacks().release(open);
                }
            } catch (BlockException e) {
                LOG.warn("disk {} did not close well", open.name(), e);
            }
        }
    }

    /** The process ends, and the next one goes on. */
    void suspend() {
        keeping.sides().suspend();
        disks.addMissing(revival.guarded());
        disks.suspend();
        release();
    }

    // ---- what happened, out of the mailbox

    void copied(MovingDisk disk) {
        if (disk.stage == Stage.COPYING) {
            disk.stage = Stage.COPIED;
        }
    }

    void behind(MovingDisk disk) {
        if (disk.stage != Stage.LOST && disk.stage != Stage.SWITCHED) {
            disk.stage = Stage.COPYING;
            disk.verdict = null;
        }
    }

    void targetLost(MovingDisk disk, BlockError why) {
        if (disk.stage == Stage.SWITCHED) {
            return;
        }
        if (switching.doubtful()) {
            // Both sides were right until now. From here on only the source is, and the journal has to say so.
            switching.endDoubt();
        }
        parking.targetLost(disk, why);
    }

    void recordLost(BlockError why) {
        LOG.error("migration {}: a crash would make all to be copied again: {}", move.id(), why.message());
    }

    void sourceFailed(BlockError why) {
        fail(why.toException());
    }

    /** Something has failed for good. */
    void fail(BlockException why) {
        failure = why;
    }

    void verified(MovingDisk disk, Verdict verdict) {
        boolean late = disk.stage == Stage.VERIFIED && !verdict.equal();
        if (disk.stage != Stage.VERIFYING && !late) {
            return;
        }
        disk.verdict = verdict;
        disk.stage = Stage.VERIFIED;
        if (!verdict.equal()) {
            mend(disk, verdict);
        }
    }

    /** Has what differs copied again. */
    void mend(MovingDisk disk, Verdict verdict) {
        try {
            mending.note(disk, verdict);
            enter(Phase.COPY);
            disk.carrier().mend();
            LOG.warn("migration {}: {}; it is copied again", move.id(), mending.words());
        } catch (BlockException e) {
            failure = e;
        }
    }

    /** Ends the move if something has failed for good. */
    void check() throws BlockException {
        BlockException failed = failure;
        if (failed != null) {
            failure = null;
            throw failed;
        }
    }

    // ---- commands

    void resume() throws BlockException {
        if (!parking.spaceLow()) {
            disks.goOnCopying();
        }
    }

    /** Tries again what parked the move. */
    void unpark() throws BlockException {
        revival.wake();
        switching.settleDoubt();
        switching.tryAgain();
        parking.unpark();
    }

    /** To the target that there was; or, if that is no more, to a new one, from the beginning. */
    void attach(MovingDisk disk) throws BlockException {
        preparation.attach(disk);
    }

    void settleDoubt() throws BlockException {
        switching.settleDoubt();
    }

    void spreadRate() throws BlockException {
        disks.spreadRate(move.rateBytesPerSecond());
    }
}
