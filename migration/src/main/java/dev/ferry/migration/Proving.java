package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.MigrationStatus.Verification;
import dev.ferry.migration.MovingDisk.Stage;
import dev.ferry.migration.journal.DiskRecord;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A comparison that somebody asked for, disk after disk, of what has been copied by then, beside whatever else the move does.
 * Its result is written into the journal. What differs on the way to the target is copied again; once the guests have
 * switched nobody can tell which side is right, and it is only said.
 *
 * <p>Thread: that of the move.
 */
final class Proving {
    private static final Logger LOG = LoggerFactory.getLogger(Proving.class);

    private final Move move;
    private final MoveWork work;
    private final Ledger ledger;
    private volatile List<MovingDisk> disks = List.of();
    private volatile int at;
    private volatile @Nullable Verification view;

    Proving(Move move, MoveWork work, Ledger ledger) {
        this.move = move;
        this.work = work;
        this.ledger = ledger;
    }

    /** Begins. */
    void start(List<MovingDisk> all) throws BlockException {
        Phase phase = ledger.record().phase();
        if (phase == Phase.PREPARE || phase == Phase.CREATE || all.isEmpty()) {
            throw refusal(ErrorKind.INVALID, "there is nothing to compare yet");
        }
        if (running()) {
            throw refusal(ErrorKind.BUSY, "its sides are being compared already");
        }
        for (MovingDisk disk : all) {
            if (disk.stage == Stage.LOST) {
                throw refusal(ErrorKind.UNAVAILABLE, "the other side of disk " + disk.disk.name() + " is away");
            }
            if (disk.stage == Stage.VERIFYING) {
                throw refusal(
                        ErrorKind.BUSY,
                        "it compares its sides now; 'ferry migration show " + move.id() + "' says how far");
            }
        }
        all.getFirst().carrier().prove();
        at = 0;
        disks = List.copyOf(all);
    }

    private BlockException refusal(ErrorKind kind, String why) {
        return Planner.refusal(kind, "migration " + move.id(), why);
    }

    /** Any thread. */
    boolean running() {
        return at < disks.size();
    }

    /** Both sides of a disk have been compared. */
    void proved(MovingDisk disk, Verdict verdict, long comparedBytes) {
        boolean kept = ledger.record().kept();
        boolean whole = comparedBytes == disk.disk.sizeBytes();
        boolean mends = !verdict.equal() && !kept;
        note(
                disk,
                new DiskRecord.Proof(
                        ledger.nowMillis(),
                        ledger.record().phase().text(),
                        comparedBytes,
                        verdict.equal(),
                        whole ? verdict.sourceDigest() : null,
                        whole ? verdict.targetDigest() : null,
                        verdict.differences(),
                        mends,
                        null));
        if (mends) {
            work.mend(disk, verdict);
        } else if (!verdict.equal()) {
            LOG.warn(
                    "migration {}: the sides of disk {} differ in {}",
                    move.id(),
                    disk.disk.name(),
                    verdict.differences());
        }
        next(disk);
    }

    void failed(MovingDisk disk, BlockError why) {
        note(
                disk,
                new DiskRecord.Proof(
                        ledger.nowMillis(),
                        ledger.record().phase().text(),
                        0,
                        false,
                        null,
                        null,
                        List.of(),
                        false,
                        why.message()));
        next(disk);
    }

    private void note(MovingDisk disk, DiskRecord.Proof proof) {
        try {
            work.prove(disk.index, proof);
        } catch (BlockException e) {
            LOG.error("migration {}: what a comparison found is not written down", move.id(), e);
        }
    }

    private void next(MovingDisk ended) {
        int done = at;
        if (!running() || disks.get(done) != ended) {
            return;
        }
        // Nobody but this thread changes it.
        at = done + 1;
        if (running()) {
            MovingDisk disk = disks.get(at);
            try {
                disk.carrier().prove();
            } catch (BlockException e) {
                failed(disk, e.error());
            }
        }
    }

    /** Looks how far it is. */
    void sample() throws BlockException {
        if (!running()) {
            view = null;
            return;
        }
        long done = 0;
        long total = 0;
        for (int i = 0; i < disks.size(); i++) {
            long size = disks.get(i).disk.sizeBytes();
            total += size;
            done += i < at ? size : i == at ? disks.get(i).carrier().figures().verifiedBytes() : 0;
        }
        view = new Verification(StatusView.percent(done, total), done, total, 0, null);
    }

    /** How far it is; null if none is under way. Any thread. */
    @Nullable
    Verification view() {
        return running() ? view : null;
    }
}
