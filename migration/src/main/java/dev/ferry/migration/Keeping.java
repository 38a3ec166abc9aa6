package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.MovingDisk.Stage;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.Grace;
import dev.ferry.migration.journal.MoveRecord;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The way back: from the switch on the guests are on the targets, and mirrors that run the other way keep the sources in
 * step, until somebody commits the move, its grace is over, or somebody takes the guests back.
 *
 * <p>The targets are the disks. A source that errs or stalls is let go, and taken up again when it is back; what the guests
 * changed meanwhile is copied then. Only sources that are in step can be gone back to, all of them by one record of the
 * journal. Nothing that fails here undoes the switch.
 *
 * <p>Thread: that of the move, except what is marked.
 */
final class Keeping {
    private static final Logger LOG = LoggerFactory.getLogger(Keeping.class);
    private static final int ATTEMPTS_MAX = 5;
    private static final long AGAIN_NANOS = 2_000_000_000L;

    /** What somebody wants done. */
    enum Wish {
        COMMIT,
        ROLLBACK
    }

    private final Move move;
    private final MoveWork work;
    private final Ledger ledger;
    private final MoveWork.Surroundings around;
    private final OldSides sides;
    private final JointPassage passage;
    private final Prober prober;
    /** Records as they are to be written with the phase; null once they are. */
    private @Nullable List<DiskRecord> unwritten;
    /** Nobody knows whether the journal holds the last record that was to be written. */
    private boolean doubtful;

    private boolean again;
    private @Nullable String note;
    private @Nullable Wish wish;
    private CompletableFuture<Boolean> answer = new CompletableFuture<>();

    Keeping(Move move, MoveWork work, Ledger ledger, MoveWork.Surroundings around) {
        this.move = move;
        this.work = work;
        this.ledger = ledger;
        this.around = around;
        this.passage = new JointPassage(move, work);
        this.prober = new Prober(around.probing());
        this.sides = new OldSides(move, work, ledger, around, prober, this::oldSideLost);
    }

    /** The old sides. */
    OldSides sides() {
        return sides;
    }

    /** Writes down what a comparison found. */
    void prove(int index, DiskRecord.Proof proof) throws BlockException {
        List<DiskRecord> records = new ArrayList<>(records());
        records.set(index, records.get(index).withProof(proof));
        if (unwritten == null) {
            Grace grace = Objects.requireNonNull(ledger.record().grace());
            settleDoubt();
            write(ledger.record().phase(), ledger.record().state(), records, grace);
        } else {
            unwritten = records;
        }
    }

    // ---- the switch

    /** The guests have passed. */
    void begin(List<DiskRecord> records) {
        unwritten = records;
    }

    // ---- while it is open

    /**
     * Keeps the way back open until it is to be closed.
     *
     * @return true if the move is to be committed, and that is written down; false if the guests are back on the sources
     */
    boolean keep() throws BlockException, CalledOff {
        if (unwritten == null) {
            sides.takeUp();
            unwritten = records().stream().map(DiskRecord::withTold).toList();
            sides.reattach();
        }
        while (true) {
            write();
            sides.sample();
            move.until(() -> wish != null || again || over() || retries());
            Wish wanted = wish;
            try {
                if (wanted == Wish.ROLLBACK) {
                    rollBack();
                    answer.complete(true);
                    return false;
                }
                if (wanted == Wish.COMMIT || over()) {
                    commit();
                    answer.complete(true);
                    return true;
                }
            } catch (BlockException e) {
                LOG.warn("migration {}: {}", move.id(), e.getMessage());
                unwritten = records();
                prober.parked(work.nanoTime());
                answer.completeExceptionally(e);
            }
            wish = null;
            again = false;
            sides.reattach();
        }
    }

    /** It is time to try again what failed. */
    private boolean retries() {
        boolean something = unwritten != null || sides.anyLost();
        return something && prober.due(work.nanoTime());
    }

    private boolean over() {
        Grace grace = ledger.record().grace();
        // Once something has failed it is tried again as often as a side that is away.
        boolean waits = unwritten != null && !prober.due(work.nanoTime());
        return grace != null && !waits && grace.over(ledger.nowMillis());
    }

    private List<DiskRecord> records() {
        return unwritten == null ? ledger.record().disks() : unwritten;
    }

    /** Writes that the way back is open, if that is not written; what fails is tried again later. */
    private void write() {
        List<DiskRecord> records = unwritten;
        if (records == null) {
            return;
        }
        try {
            settleDoubt();
            Grace grace = Objects.requireNonNull(ledger.record().grace()).from(ledger.nowMillis());
            write(Phase.KEEP, MigrationState.SWITCHED, tell(records), grace);
            unwritten = null;
            work.forgetSteps();
        } catch (BlockException e) {
            LOG.error("migration {}: that the way back is open is not written down yet", move.id(), e);
            prober.parked(work.nanoTime());
        }
    }

    private void write(Phase phase, MigrationState state, List<DiskRecord> records, Grace grace) throws BlockException {
        try {
            ledger.write(phase, state, records, grace);
        } catch (BlockException e) {
            doubtful = true;
            throw e;
        }
    }

    /** After this the journal is what it is believed to be. */
    private void settleDoubt() throws BlockException {
        if (doubtful) {
            ledger.rewrite();
            doubtful = false;
        }
    }

    /** The inventory follows the switch; a commit tells it again if it does not. */
    private List<DiskRecord> tell(List<DiskRecord> records) {
        List<DiskRecord> told = new ArrayList<>();
        for (DiskRecord record : records) {
            try {
                if (!record.told()) {
                    around.catalog()
                            .moved(
                                    record.name(),
                                    ledger.record().targetDatastore(),
                                    record.targetFile(),
                                    record.targetProvisioning());
                }
                told.add(record.withTold());
            } catch (BlockException e) {
                LOG.warn("migration {}: the inventory did not follow yet", move.id(), e);
                told.add(record);
            }
        }
        return told;
    }

    private void oldSideLost() {
        try {
            // Both sides were right until now. From here on only the target is, and the journal has to say so.
            settleDoubt();
        } catch (BlockException e) {
            LOG.error("migration {}: whether the guests have gone back is not known on disk", move.id(), e);
        }
    }

    // ---- how it ends

    private void commit() throws BlockException {
        settleDoubt();
        String stale = sides.staleSources();
        write(
                Phase.COMMIT,
                MigrationState.SWITCHED,
                records(),
                Objects.requireNonNull(ledger.record().grace()));
        sides.forgetView();
        note = stale;
        sides.all().forEach(disk -> disk.carrier().part());
    }

    /** What is to be known of a way back that was committed; null if nothing is. */
    @Nullable
    String note() {
        return note;
    }

    private void rollBack() throws BlockException, CalledOff {
        settleDoubt();
        Grace grace = Objects.requireNonNull(ledger.record().grace());
        write(Phase.ROLLBACK, MigrationState.SWITCHED, records(), grace);
        for (MovingDisk disk : sides.all()) {
            disk.carrier().halt();
        }
        List<Double> pausesMillis = goBack(grace);
        List<DiskRecord> back = new ArrayList<>(ledger.record().disks());
        sides.forgetView();
        for (int i = 0; i < sides.all().size(); i++) {
            MovingDisk disk = sides.all().get(i);
            disk.stage = Stage.SWITCHED;
            disk.carrier().finish();
            DiskRecord record = back.get(disk.index);
            back.set(disk.index, record.withRollbackPause(pausesMillis.get(i)));
            LOG.info("migration {}: disk {} is back at {}", move.id(), record.name(), record.sourcePath());
        }
        work.release();
        try {
            ledger.disks(back);
            sides.revival().forgetSteps();
            Recovery.settleRollback(ledger, around.catalog(), around.bases());
        } catch (BlockException e) {
            LOG.error("migration {} has gone back, and is not brought to an end", move.id(), e);
            move.lastWord(Recovery.notBroughtBack(ledger.record(), e));
        }
    }

    /** Takes the guests back, all of them or none. A disk that does not come to rest gets another chance. */
    private List<Double> goBack(Grace grace) throws BlockException, CalledOff {
        for (int attempt = 1; ; attempt++) {
            try {
                passage.settle(sides.all());
                sides.refuseUnlessInStep();
                return passage.go(sides.all(), () -> {
                    List<DiskRecord> back = ledger.record().disks().stream()
                            .map(record -> record.withAuthority(Authority.SOURCE))
                            .toList();
                    write(Phase.ROLLBACK, MigrationState.RUNNING, back, grace);
                });
            } catch (BlockException e) {
                JointPassage.loosen(sides.all());
                if (e.kind() != ErrorKind.TIMED_OUT || attempt == ATTEMPTS_MAX || doubtful) {
                    throw e;
                }
                long next = work.nanoTime() + AGAIN_NANOS;
                move.until(() -> work.nanoTime() - next >= 0);
            }
        }
    }

    // ---- what somebody wants

    /**
     * Takes on what somebody wants.
     *
     * @param done completes when it is done, or with a {@link BlockException} if it could not be
     */
    void ask(Wish wanted, CompletableFuture<Boolean> done) throws BlockException {
        MoveRecord now = ledger.record();
        if (!now.kept()) {
            throw Planner.refusal(
                    ErrorKind.INVALID,
                    "migration " + move.id(),
                    "it is " + now.state().text() + ", phase " + now.phase().text()
                            + (now.grace() == null
                                    ? ", and no way back is kept; 'ferry migrate --grace' keeps one"
                                    : "")
                            + "; there is nothing to "
                            + (wanted == Wish.COMMIT ? "commit" : "roll back") + " yet");
        }
        if (wish != null) {
            throw Planner.refusal(ErrorKind.BUSY, "migration " + move.id(), "it is being ended already");
        }
        if (wanted == Wish.ROLLBACK) {
            sides.refuseUnlessInStep();
        }
        wish = wanted;
        answer = done;
    }

    /** True if somebody has asked for its end. */
    boolean ending() {
        return wish != null;
    }

    /** Looks now whether what is away is back. */
    void tryAgain() {
        sides.revival().wake();
        again = true;
    }

    /** Nobody works here any more: whoever waits is told so. */
    void close() {
        sides.forgetView();
        answer.completeExceptionally(Planner.refusal(
                ErrorKind.UNAVAILABLE,
                "migration " + move.id(),
                "the daemon ends; the way back stays open, ask again when it is back"));
    }
}
