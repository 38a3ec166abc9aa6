package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.migration.Carrier.Passage;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.MovingDisk.Stage;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.stack.OnLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
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
    private static final long SETTLED_NANOS = 4_000_000;
    private static final int SETTLE_ROUNDS_MAX = 12;
    private static final int ATTEMPTS_MAX = 5;
    private static final long AGAIN_NANOS = 2_000_000_000L;

    private final Move move;
    private final MoveWork work;
    private final Ledger ledger;
    private boolean doubtful;
    private int attempts;

    Switching(Move move, MoveWork work, Ledger ledger) {
        this.move = move;
        this.work = work;
        this.ledger = ledger;
    }

    /** True while it is not known whether the journal holds the decision. */
    boolean doubtful() {
        return doubtful;
    }

    void tryAgain() {
        attempts = 0;
    }

    /** One attempt to switch all disks, which are all in step. */
    void attempt() throws BlockException, CalledOff {
        List<Passage> passages = new ArrayList<>();
        try {
            for (MovingDisk disk : work.disks()) {
                DiskRecord record = ledger.record().disks().get(disk.index);
                DiskFiles.publish(record.targetFile(), Objects.requireNonNull(record.targetIdentity()));
            }
            settle();
            move.handleMail();
            if (work.any(Stage.LOST) || move.paused()) {
                loosen();
                return;
            }
            for (MovingDisk disk : work.disks()) {
                disk.figures = disk.carrier().figures();
            }
            for (MovingDisk disk : work.disks()) {
                passages.add(disk.carrier().rest());
            }
            for (int i = 0; i < passages.size(); i++) {
                passages.get(i).await();
                Verdict atRest = passages.get(i).verdict();
                if (atRest != null) {
                    work.disks().get(i).verdict = atRest;
                }
            }
            decide();
        } catch (BlockException e) {
            for (Passage passage : passages) {
                passage.giveUp();
            }
            loosen();
            notSwitched(e);
            return;
        }
        pass(passages);
    }

    private void pass(List<Passage> passages) throws BlockException {
        List<CompletableFuture<Long>> passed = new ArrayList<>();
        passages.forEach(passage -> passed.add(passage.pass()));
        List<DiskRecord> records = new ArrayList<>(ledger.record().disks());
        for (int i = 0; i < passed.size(); i++) {
            MovingDisk disk = work.disks().get(i);
            double pauseMillis = Math.round(OnLoop.join(passed.get(i)) / 1e4) / 1e2;
            disk.stage = Stage.SWITCHED;
            DiskRecord record = records.get(disk.index);
            records.set(disk.index, record.withOutcome(record.outcome().withPause(pauseMillis)));
        }
        ledger.disks(records);
        for (MovingDisk disk : work.disks()) {
            disk.carrier().finish();
            DiskRecord record = ledger.record().disks().get(disk.index);
            LOG.info("migration {}: disk {} is at {} now", move.id(), record.name(), record.targetPath());
            work.tell(disk, record);
        }
    }

    /**
     * Flushes both sides again and again until there is so little left that the flush of the switch will be quick. A flush
     * takes as long as it takes; the move can be called off meanwhile. Of a target that trails, each takes a round trip.
     */
    private void settle() throws BlockException, CalledOff {
        long last = Long.MAX_VALUE;
        for (int round = 0; round < SETTLE_ROUNDS_MAX; round++) {
            long before = work.nanoTime();
            List<CompletableFuture<Boolean>> flushed = new ArrayList<>();
            for (MovingDisk disk : work.disks()) {
                flushed.add(disk.carrier().flush().whenComplete((done, failure) -> move.post(() -> {})));
            }
            move.until(() -> flushed.stream().allMatch(CompletableFuture::isDone));
            for (CompletableFuture<Boolean> one : flushed) {
                OnLoop.join(one);
            }
            long took = work.nanoTime() - before;
            boolean noBetter = took >= last / 4 * 3;
            if (took < SETTLED_NANOS || (noBetter && trails())) {
                return;
            }
            last = took;
        }
    }

    private boolean trails() {
        return work.disks().stream().anyMatch(disk -> disk.figures.mirroring() == Mirroring.TRAILING);
    }

    /** The guests work on: targets far away may trail again. */
    private void loosen() throws BlockException {
        for (MovingDisk disk : work.disks()) {
            disk.carrier().loosen();
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
        if (work.any(Stage.LOST) || e.kind() == ErrorKind.UNAVAILABLE) {
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
        move.until(() -> work.any(Stage.LOST) || work.nanoTime() - next >= 0);
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
