package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.MovingDisk.Stage;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The work of a {@link Move}, phase after phase.
 *
 * <p>Every disk has a stage of its own, and what is done next follows from the stages of all: as long as one has lost its
 * target the move is parked; as long as one is not copied it copies; when all are copied they are verified, one after the
 * other, and when all are verified they are switched, one after the other. A disk that loses its target on the way goes
 * back to copying what is missing.
 *
 * <p>Thread: that of the move.
 */
final class MoveWork {
    private static final Logger LOG = LoggerFactory.getLogger(MoveWork.class);
    private static final long SETTLED_NANOS = 4_000_000;
    private static final int SETTLE_ROUNDS_MAX = 12;
    private static final int SWITCH_ATTEMPTS_MAX = 5;
    private static final long SWITCH_AGAIN_NANOS = 2_000_000_000L;

    /** What a move works with. */
    record Surroundings(Stacks stacks, Catalog catalog, Carrier.Factory carriers) {}

    private final Move move;
    private final Ledger ledger;
    private final Surroundings around;
    private final TargetMaker targets;
    private final List<MovingDisk> disks = new CopyOnWriteArrayList<>();
    private @Nullable BlockException failure;
    private boolean doubtful;
    private int switchAttempts;

    MoveWork(Move move, Ledger ledger, Surroundings around) {
        this.move = move;
        this.ledger = ledger;
        this.around = around;
        this.targets = new TargetMaker(move, ledger, around);
    }

    /** Any thread. */
    List<MovingDisk> disks() {
        return disks;
    }

    long nanoTime() {
        return disks.getFirst().disk.loop().loop().nanoTime();
    }

    private DiskRecord recordOf(MovingDisk disk) {
        return ledger.record().disks().get(disk.index);
    }

    // ---- until every guest is on its target

    void carry() throws BlockException, CalledOff {
        move.handleMail();
        ledger.phase(Phase.CREATE, MigrationState.RUNNING, null);
        MoveRecord begun = ledger.record();
        for (int i = 0; i < begun.disks().size(); i++) {
            DiskSpec spec = around.catalog().disk(begun.disks().get(i).name()).spec();
            MovingDisk disk = new MovingDisk(i, around.stacks().acquire(spec));
            disks.add(disk);
            targets.make(disk);
        }
        ledger.phase(Phase.COPY, MigrationState.RUNNING, null);
        for (MovingDisk disk : disks) {
            Carrier carrier = around.carriers().of(disk.disk, Objects.requireNonNull(disk.target), move.eventsOf(disk));
            disk.carrier = carrier;
            carrier.pace(move.pace());
            spreadRate();
            if (move.paused()) {
                carrier.pause();
            }
            carrier.start();
        }
        while (!all(Stage.SWITCHED)) {
            step();
        }
    }

    /** One thing out of what is to be done next. */
    private void step() throws BlockException, CalledOff {
        if (any(Stage.LOST) || doubtful) {
            move.until(() -> !any(Stage.LOST) && !doubtful);
        } else if (any(Stage.COPYING)) {
            enter(Phase.COPY);
            spreadRate();
            int before = copying();
            move.until(() -> any(Stage.LOST) || copying() != before);
        } else if (ledger.record().verify() && (any(Stage.COPIED) || any(Stage.VERIFYING))) {
            enter(Phase.VERIFY);
            verifyNext();
        } else {
            move.until(() -> any(Stage.LOST) || !move.paused());
            MovingDisk next = firstToSwitch();
            if (next != null && !any(Stage.LOST)) {
                enter(Phase.SWITCH);
                switchOver(next);
            }
        }
    }

    private void enter(Phase phase) throws BlockException {
        if (ledger.record().phase() != phase) {
            List<DiskRecord> records = new ArrayList<>(ledger.record().disks());
            for (MovingDisk disk : disks) {
                records.set(disk.index, disk.withFigures(records.get(disk.index)));
            }
            ledger.write(phase, MigrationState.RUNNING, null, records);
        }
    }

    private void verifyNext() throws BlockException, CalledOff {
        move.until(() -> any(Stage.LOST) || !move.paused());
        for (MovingDisk disk : disks) {
            if (disk.stage == Stage.COPIED) {
                disk.stage = Stage.VERIFYING;
                spreadRate();
                disk.carrier().verify();
                break;
            }
        }
        move.until(() -> any(Stage.LOST) || !any(Stage.VERIFYING));
    }

    private @Nullable MovingDisk firstToSwitch() {
        for (MovingDisk disk : disks) {
            if (disk.stage == Stage.COPIED || disk.stage == Stage.VERIFIED) {
                return disk;
            }
        }
        return null;
    }

    private void switchOver(MovingDisk disk) throws BlockException, CalledOff {
        DiskRecord record = recordOf(disk);
        DiskFiles.publish(record.targetFile(), Objects.requireNonNull(record.targetIdentity()));
        long pauseNanos;
        try {
            settle(disk);
            move.handleMail();
            if (disk.stage == Stage.LOST || move.paused()) {
                return;
            }
            disk.figures = disk.carrier().figures();
            pauseNanos = disk.carrier().switchOver(() -> decide(disk));
        } catch (BlockException e) {
            notSwitched(disk, e);
            return;
        }
        switchAttempts = 0;
        disk.stage = Stage.SWITCHED;
        DiskRecord.Outcome outcome = recordOf(disk).outcome();
        DiskRecord switched = recordOf(disk)
                .withOutcome(new DiskRecord.Outcome(
                        outcome.doneBytes(),
                        outcome.totalBytes(),
                        outcome.bytesCopied(),
                        outcome.bytesMirrored(),
                        Math.round(pauseNanos / 1e4) / 1e2,
                        outcome.verified(),
                        outcome.sourceDigest(),
                        outcome.targetDigest()));
        disk.carrier().finish();
        LOG.info("migration {}: disk {} is at {} now", move.id(), record.name(), record.targetPath());
        tell(disk, switched);
    }

    /**
     * Flushes both sides again and again until there is so little left that the flush of the switch will be quick. A flush
     * takes as long as it takes; the move can be called off meanwhile.
     */
    private void settle(MovingDisk disk) throws BlockException, CalledOff {
        for (int round = 0; round < SETTLE_ROUNDS_MAX; round++) {
            long before = nanoTime();
            CompletableFuture<Boolean> flushed =
                    disk.carrier().flush().whenComplete((done, failure) -> move.post(() -> {}));
            move.until(flushed::isDone);
            OnLoop.join(flushed);
            if (nanoTime() - before < SETTLED_NANOS) {
                return;
            }
        }
    }

    /** The decision. From the moment that the record is durable the target is the disk. */
    private void decide(MovingDisk disk) throws BlockException {
        Verdict verdict = disk.verdict;
        DiskRecord record = disk.withFigures(recordOf(disk));
        DiskRecord.Outcome outcome = record.outcome();
        DiskRecord decided = record.withAuthority(Authority.TARGET)
                .withOutcome(new DiskRecord.Outcome(
                        outcome.doneBytes(),
                        outcome.totalBytes(),
                        outcome.bytesCopied(),
                        outcome.bytesMirrored(),
                        null,
                        verdict != null && verdict.equal(),
                        verdict == null ? null : verdict.sourceDigest(),
                        verdict == null ? null : verdict.targetDigest()));
        try {
            ledger.disk(disk.index, decided);
        } catch (BlockException e) {
            doubtful = true;
            throw e;
        }
    }

    /**
     * A journal that failed may or may not hold the decision. As long as that is not known both sides are kept in step, so
     * that either answer is right. Else the target may have been lost, or be behind, which its events say; the disk may not
     * have come to rest, and gets another chance; or the source has failed, which ends the move.
     */
    private void notSwitched(MovingDisk disk, BlockException e) throws BlockException, CalledOff {
        if (doubtful) {
            disk.stage = Stage.LOST;
            move.parked(e.getMessage() + "; the guest runs on on the source; make sure that the journal can be written,"
                    + " and resume");
            endDoubt();
            return;
        }
        move.handleMail();
        if (disk.stage == Stage.LOST || e.kind() == ErrorKind.UNAVAILABLE) {
            return;
        }
        if (e.kind() != ErrorKind.TIMED_OUT) {
            throw e;
        }
        if (++switchAttempts == SWITCH_ATTEMPTS_MAX) {
            disk.stage = Stage.LOST;
            move.parked(e.getMessage() + "; the guest runs on on the source; resume to try again");
            return;
        }
        LOG.info("migration {}: another attempt follows, since {}", move.id(), e.getMessage());
        long next = nanoTime() + SWITCH_AGAIN_NANOS;
        move.until(() -> disk.stage == Stage.LOST || nanoTime() - next >= 0);
    }

    /** Tries to; if the journal still fails, a resume or a cancel tries again. */
    private void endDoubt() {
        try {
            settleDoubt();
        } catch (BlockException e) {
            LOG.error("migration {}: whether the disk was switched is not known on disk", move.id(), e);
        }
    }

    /** The inventory follows at once if it can; else with the commit. */
    private void tell(MovingDisk disk, DiskRecord switched) throws BlockException {
        ledger.disk(disk.index, switched);
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

    // ---- after the switch

    void commit() throws BlockException {
        release();
        try {
            ledger.phase(Phase.COMMIT, MigrationState.SWITCHED, null);
            Recovery.settleDisks(ledger, around.catalog());
            ledger.phase(Phase.END, MigrationState.DONE, null);
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
        for (MovingDisk disk : disks) {
            if (disk.stage == Stage.SWITCHED) {
                continue;
            }
            if (disk.carrier != null) {
                disk.carrier().abandon();
            } else if (disk.target != null) {
                Objects.requireNonNull(disk.target).close();
            }
        }
        release();
        boolean none = ledger.record().disks().stream().noneMatch(disk -> disk.authority() == Authority.TARGET);
        String error = none ? why : Recovery.switchedInPart(ledger.record(), why);
        ledger.phase(Phase.UNDO, meant, error);
        Recovery.discardTargets(ledger);
        if (!none) {
            Recovery.settleDisks(ledger, around.catalog());
        }
        ledger.phase(Phase.END, meant, error);
    }

    private void release() {
        for (MovingDisk disk : disks) {
            OpenDisk open = disk.disk;
            try {
                around.stacks().release(open);
            } catch (BlockException e) {
                LOG.warn("disk {} did not close well", open.name(), e);
            }
        }
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
        if (doubtful) {
            // Both sides were right until now. From here on only the source is, and the journal has to say so.
            endDoubt();
        }
        disk.stage = Stage.LOST;
        disk.verdict = null;
        String remedy = why.kind() == ErrorKind.NO_SPACE ? "make room there and resume" : "resume when it is back";
        move.parked("the target is lost: " + why.message() + "; the guest runs on on the source; " + remedy);
        LOG.warn("migration {} is parked: {}", move.id(), why.message());
    }

    void sourceFailed(BlockError why) {
        fail(why.toException());
    }

    /** Something has failed for good. */
    void fail(BlockException why) {
        failure = why;
    }

    void verified(MovingDisk disk, Verdict verdict) {
        if (disk.stage != Stage.VERIFYING) {
            return;
        }
        disk.verdict = verdict;
        disk.stage = Stage.VERIFIED;
        if (!verdict.equal()) {
            failure = Planner.refusal(
                    ErrorKind.CORRUPT,
                    "disk " + disk.disk.name(),
                    "source and target differ at " + verdict.difference() + "; the guest stays on the source");
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

    /** A comparison that is under way is given up, and done anew later. */
    void pause() throws BlockException {
        for (MovingDisk disk : disks) {
            if (disk.carrier != null && disk.stage != Stage.SWITCHED) {
                disk.carrier().pause();
            }
            if (disk.stage == Stage.VERIFYING) {
                disk.stage = Stage.COPIED;
            }
        }
    }

    void resume() throws BlockException {
        for (MovingDisk disk : disks) {
            if (disk.carrier != null && disk.stage != Stage.SWITCHED) {
                disk.carrier().resume();
            }
        }
    }

    /** Tries again what parked the move. */
    void unpark() throws BlockException {
        settleDoubt();
        switchAttempts = 0;
        for (MovingDisk disk : disks) {
            if (disk.stage == Stage.LOST) {
                disk.carrier().reconnect();
                disk.stage = Stage.COPYING;
            }
        }
        move.parked(null);
    }

    /** After this the journal says for certain that the source is the disk. */
    void settleDoubt() throws BlockException {
        if (doubtful) {
            ledger.rewrite();
            doubtful = false;
        }
    }

    /** The rate is that of the whole move, so disks that copy share it; they are compared one after the other. */
    void spreadRate() throws BlockException {
        long rate = move.rateBytesPerSecond();
        int copying = copying();
        for (MovingDisk disk : disks) {
            if (disk.carrier != null && disk.stage != Stage.SWITCHED) {
                disk.carrier().rate(rate == 0 ? 0 : Math.max(1, rate / Math.max(1, copying)));
            }
        }
    }

    private int copying() {
        int copying = 0;
        for (MovingDisk disk : disks) {
            copying += disk.stage == Stage.COPYING ? 1 : 0;
        }
        return copying;
    }

    private boolean any(Stage stage) {
        for (MovingDisk disk : disks) {
            if (disk.stage == stage) {
                return true;
            }
        }
        return false;
    }

    private boolean all(Stage stage) {
        for (MovingDisk disk : disks) {
            if (disk.stage != stage) {
                return false;
            }
        }
        return true;
    }
}
