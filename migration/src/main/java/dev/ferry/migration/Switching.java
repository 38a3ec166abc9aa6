package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.MovingDisk.Stage;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The switch: all disks of a move are brought to rest at the same time, one record of the journal decides for all of them,
 * and all pass. Whatever fails before that record is durable, all go on on their sources.
 *
 * <p>Thread: that of the move.
 */
final class Switching {
    private static final Logger LOG = LoggerFactory.getLogger(Switching.class);
    private static final int ATTEMPTS_MAX = 5;
    private static final long AGAIN_NANOS = 2_000_000_000L;

    private final Move move;
    private final MoveWork work;
    private final Ledger ledger;
    private final JointPassage passage;
    private boolean doubtful;
    private boolean underWay;
    private int attempts;

    Switching(Move move, MoveWork work, Ledger ledger) {
        this.move = move;
        this.work = work;
        this.ledger = ledger;
        this.passage = new JointPassage(move, work);
    }

    /** True while it is not known whether the journal holds the decision. */
    boolean doubtful() {
        return doubtful;
    }

    void tryAgain() {
        attempts = 0;
    }

    /** True while the guests are being brought to rest, or about to be. */
    boolean underWay() {
        return underWay;
    }

    /** One attempt to switch all disks, which are all in step. */
    void attempt() throws BlockException, CalledOff {
        underWay = true;
        try {
            tryToSwitch();
        } finally {
            underWay = false;
        }
    }

    private void tryToSwitch() throws BlockException, CalledOff {
        List<Double> pausesMillis;
        try {
            for (MovingDisk disk : work.disks()) {
                DiskRecord record = ledger.record().disks().get(disk.index);
                DiskFiles.publish(record.targetFile(), Objects.requireNonNull(record.targetIdentity()));
            }
            passage.settle(work.disks());
            move.handleMail();
            if (work.together().any(Stage.LOST) || move.paused()) {
                JointPassage.loosen(work.disks());
                return;
            }
            for (MovingDisk disk : work.disks()) {
                disk.figures = disk.carrier().figures();
            }
            if (ledger.record().grace() != null && !work.keeping().sides().prepare(work.disks())) {
                giveUp("the way back cannot be recorded; the guest runs on on the source; resume to try again");
                return;
            }
            pausesMillis = passage.go(work.disks(), this::decide);
        } catch (BlockException e) {
            JointPassage.loosen(work.disks());
            notSwitched(e);
            return;
        }
        switched(pausesMillis);
    }

    private void switched(List<Double> pausesMillis) throws BlockException {
        List<DiskRecord> records = new ArrayList<>(ledger.record().disks());
        for (int i = 0; i < pausesMillis.size(); i++) {
            MovingDisk disk = work.disks().get(i);
            disk.stage = Stage.SWITCHED;
            DiskRecord record = records.get(disk.index);
            records.set(disk.index, record.withOutcome(record.outcome().withPause(pausesMillis.get(i))));
        }
        boolean keeps = ledger.record().grace() != null;
        if (keeps) {
            // The way back is open from now on, whatever else may fail: what is to be written is written with that.
            work.keeping().begin(records);
        } else {
            ledger.disks(records);
        }
        for (MovingDisk disk : work.disks()) {
            disk.carrier().finish();
            DiskRecord record = records.get(disk.index);
            LOG.info("migration {}: disk {} is at {} now", move.id(), record.name(), record.targetPath());
            if (!keeps) {
                work.tell(disk, record);
            }
        }
    }

    /** The decision. From the moment that the record is durable the targets are the disks. */
    private void decide() throws BlockException {
        List<DiskRecord> decided = new ArrayList<>(ledger.record().disks());
        for (MovingDisk disk : work.disks()) {
            DiskRecord record =
                    disk.withFigures(decided.get(disk.index), ledger.record().mover());
            Verdict verdict = disk.verdict;
            DiskRecord.Outcome outcome = verdict == null
                    ? record.outcome()
                    : record.outcome().withVerdict(verdict.equal(), verdict.sourceDigest(), verdict.targetDigest());
            decided.set(disk.index, record.withAuthority(Authority.TARGET).withOutcome(outcome));
        }
        try {
            ledger.disks(decided);
        } catch (BlockException e) {
            doubtful = true;
            throw e;
        }
    }

    /**
     * A journal that failed may or may not hold the decision. As long as that is not known both sides are kept in step, so
     * that either answer is right. Else a target may have been lost, or be behind, which its events say; a disk may not
     * have come to rest, and gets another chance; or a source has failed, which ends the move.
     */
    private void notSwitched(BlockException e) throws BlockException, CalledOff {
        if (doubtful) {
            giveUp(e.getMessage() + "; the guest runs on on the source; make sure that the journal can be written,"
                    + " and resume");
            endDoubt();
            return;
        }
        move.handleMail();
        if (work.together().any(Stage.LOST) || e.kind() == ErrorKind.UNAVAILABLE) {
            return;
        }
        if (e.kind() != ErrorKind.TIMED_OUT) {
            throw e;
        }
        if (++attempts == ATTEMPTS_MAX) {
            giveUp(e.getMessage() + "; the guest runs on on the source; resume to try again");
            return;
        }
        LOG.info("migration {}: another attempt follows, since {}", move.id(), e.getMessage());
        long next = work.nanoTime() + AGAIN_NANOS;
        move.until(() -> work.together().any(Stage.LOST) || work.nanoTime() - next >= 0);
    }

    private void giveUp(String why) {
        work.disks().forEach(disk -> disk.stage = Stage.LOST);
        move.parked(why);
    }

    /** Tries to; if the journal still fails, a resume or a cancel tries again. */
    void endDoubt() {
        try {
            settleDoubt();
        } catch (BlockException e) {
            LOG.error("migration {}: whether the disks were switched is not known on disk", move.id(), e);
        }
    }

    /** After this the journal says for certain that the sources are the disks. */
    void settleDoubt() throws BlockException {
        if (doubtful) {
            ledger.rewrite();
            doubtful = false;
        }
    }
}
