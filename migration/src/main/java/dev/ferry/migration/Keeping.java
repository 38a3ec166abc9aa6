package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.MigrationStatus.WayBack;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.MovingDisk.Stage;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.Grace;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.stack.DiskSide;
import java.time.Instant;
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
    private final Revival revival;
    private final TargetMaker sides;
    private final JointPassage passage;
    private final Prober prober;
    private List<MovingDisk> disks = List.of();
    /** Records as they are to be written with the phase; null once they are. */
    private @Nullable List<DiskRecord> unwritten;
    /** Nobody knows whether the journal holds the last record that was to be written. */
    private boolean doubtful;

    private boolean again;
    private boolean released;
    private @Nullable String note;
    private @Nullable Wish wish;
    private CompletableFuture<Boolean> answer = new CompletableFuture<>();
    private volatile @Nullable WayBack view;

    Keeping(Move move, MoveWork work, Ledger ledger, MoveWork.Surroundings around) {
        this.move = move;
        this.work = work;
        this.ledger = ledger;
        this.around = around;
        this.revival = new Revival(move, ledger, around, true, this::eventsOf);
        this.sides = new TargetMaker(move, ledger, around);
        this.passage = new JointPassage(move, work);
        this.prober = new Prober(around.probing());
    }

    /** How a way back that was open comes back after a crash. Any thread. */
    Revival revival() {
        return revival;
    }

    /** The old sides. */
    List<MovingDisk> disks() {
        return disks;
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

    /** How the way back is; null where there is none. Any thread. */
    @Nullable
    WayBack view() {
        return view;
    }

    // ---- the switch

    /**
     * Makes ready, before each attempt to switch.
     *
     * @return false if the way back cannot be recorded
     */
    boolean prepare(List<MovingDisk> forward) {
        List<MovingDisk> made = new ArrayList<>();
        try {
            for (MovingDisk disk : forward) {
                MovingDisk back = new MovingDisk(disk.index, disk.disk);
                back.stage = Stage.COPIED;
                back.carrier = disk.carrier().turn(eventsOf(back), revival.stepsOf(disk.index));
                made.add(back);
            }
        } catch (BlockException e) {
            LOG.warn("migration {}: no way back can be made ready", move.id(), e);
            return false;
        }
        disks = List.copyOf(made);
        return true;
    }

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
            takeUp();
        }
        while (true) {
            write();
            sample();
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
            reattach();
        }
    }

    /** It is time to try again what failed. */
    private boolean retries() {
        boolean something = unwritten != null || disks.stream().anyMatch(disk -> disk.stage == Stage.LOST);
        return something && prober.due(work.nanoTime());
    }

    private boolean over() {
        Grace grace = ledger.record().grace();
        // Once something has failed it is tried again as often as a side that is away.
        boolean waits = unwritten != null && !prober.due(work.nanoTime());
        return grace != null && !waits && grace.over(ledger.nowMillis());
    }

    private void takeUp() throws BlockException, CalledOff {
        disks = revival.disks();
        move.parked(null);
        for (MovingDisk disk : disks) {
            disk.stage = Stage.LOST;
            disk.carrier().pace(move.pace());
        }
        unwritten = records().stream().map(DiskRecord::withTold).toList();
        reattach();
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

    /** Takes up what was let go, if it is back. */
    private void reattach() {
        for (MovingDisk disk : disks) {
            if (disk.stage != Stage.LOST) {
                continue;
            }
            try {
                if (disk.carrier().attached()) {
                    disk.carrier().copyAgain();
                } else {
                    disk.carrier().closeTarget();
                    attach(disk);
                }
                disk.stage = Stage.COPYING;
                disk.trouble = null;
            } catch (BlockException e) {
                disk.trouble = e.getMessage();
                LOG.debug("migration {}: the old side stays away", move.id(), e);
                prober.parked(work.nanoTime());
            }
        }
    }

    private void attach(MovingDisk disk) throws BlockException {
        DiskSide source = sides.reopenSource(disk);
        try {
            disk.carrier().attach(source);
        } catch (BlockException | RuntimeException e) {
            source.close();
            throw e;
        }
    }

    // ---- how it ends

    private void commit() throws BlockException {
        settleDoubt();
        String stale = staleSources();
        write(
                Phase.COMMIT,
                MigrationState.SWITCHED,
                records(),
                Objects.requireNonNull(ledger.record().grace()));
        view = null;
        note = stale;
        disks.forEach(disk -> disk.carrier().part());
    }

    /** A source that is to stay and is behind is of no use, which is said. */
    private @Nullable String staleSources() throws BlockException {
        List<String> stale = new ArrayList<>();
        for (MovingDisk disk : disks) {
            long behind = disk.carrier().behindBytes();
            if (ledger.record().keepSource() && (behind > 0 || disk.stage == Stage.LOST)) {
                DiskRecord record = ledger.record().disks().get(disk.index);
                stale.add(record.sourceFile() + " was behind by " + behind
                        + " bytes when the way back was closed, and is not the disk");
            }
        }
        return stale.isEmpty() ? null : String.join("; ", stale);
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
        for (MovingDisk disk : disks) {
            disk.carrier().halt();
        }
        List<Double> pausesMillis = goBack(grace);
        List<DiskRecord> back = new ArrayList<>(ledger.record().disks());
        view = null;
        for (int i = 0; i < disks.size(); i++) {
            MovingDisk disk = disks.get(i);
            disk.stage = Stage.SWITCHED;
            disk.carrier().finish();
            DiskRecord record = back.get(disk.index);
            back.set(disk.index, record.withRollbackPause(pausesMillis.get(i)));
            LOG.info("migration {}: disk {} is back at {}", move.id(), record.name(), record.sourcePath());
        }
        work.release();
        try {
            ledger.disks(back);
            revival.forgetSteps();
            Recovery.settleRollback(ledger, around.catalog());
        } catch (BlockException e) {
            LOG.error("migration {} has gone back, and is not brought to an end", move.id(), e);
            move.lastWord(Recovery.notBroughtBack(ledger.record(), e));
        }
    }

    /** Takes the guests back, all of them or none. A disk that does not come to rest gets another chance. */
    private List<Double> goBack(Grace grace) throws BlockException, CalledOff {
        for (int attempt = 1; ; attempt++) {
            try {
                passage.settle(disks);
                refuseUnlessInStep();
                return passage.go(disks, () -> {
                    List<DiskRecord> back = ledger.record().disks().stream()
                            .map(record -> record.withAuthority(Authority.SOURCE))
                            .toList();
                    write(Phase.ROLLBACK, MigrationState.RUNNING, back, grace);
                });
            } catch (BlockException e) {
                JointPassage.loosen(disks);
                if (e.kind() != ErrorKind.TIMED_OUT || attempt == ATTEMPTS_MAX || doubtful) {
                    throw e;
                }
                long next = work.nanoTime() + AGAIN_NANOS;
                move.until(() -> work.nanoTime() - next >= 0);
            }
        }
    }

    private void refuseUnlessInStep() throws BlockException {
        for (MovingDisk disk : disks) {
            String name = ledger.record().disks().get(disk.index).name();
            long behind = disk.carrier().behindBytes();
            if (disk.stage == Stage.LOST) {
                throw refusal("the old side of disk " + name + " is away (" + disk.trouble + ") and behind by " + behind
                        + " bytes; bring it back, and it is caught up by itself");
            }
            if (disk.stage == Stage.COPYING || behind > 0) {
                throw refusal("the old side of disk " + name + " is behind by " + behind
                        + " bytes and is being caught up; try again when 'ferry migration show " + move.id()
                        + "' says that it is in step");
            }
        }
    }

    private BlockException refusal(String why) {
        return Planner.refusal(ErrorKind.BUSY, "migration " + move.id(), why + "; the guest stays where it is");
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
            refuseUnlessInStep();
        }
        wish = wanted;
        answer = done;
    }

    /** Looks now whether what is away is back. */
    void tryAgain() {
        revival.wake();
        again = true;
    }

    // ---- the end of the process

    void suspend() {
        for (MovingDisk disk : ledger.record().kept() ? open() : List.<MovingDisk>of()) {
            disk.carrier().suspend();
        }
    }

    private List<MovingDisk> open() {
        return disks.isEmpty() ? revival.guarded() : disks;
    }

    /** Takes away the use of disks that is its own: that of a move that has come back after a crash. */
    void release() {
        if (released) {
            return;
        }
        released = true;
        for (MovingDisk disk : revival.guarded()) {
            try {
                around.stacks().release(disk.disk);
            } catch (BlockException e) {
                LOG.warn("disk {} did not close well", disk.disk.name(), e);
            }
        }
    }

    /** Nobody works here any more: whoever waits is told so. */
    void close() {
        view = null;
        answer.completeExceptionally(Planner.refusal(
                ErrorKind.UNAVAILABLE,
                "migration " + move.id(),
                "the daemon ends; the way back stays open, ask again when it is back"));
    }

    // ---- what happened, out of the mailbox

    private Carrier.Events eventsOf(MovingDisk disk) {
        return new Carrier.Events() {
            @Override
            public void copied() {
                move.post(() -> {
                    if (disk.stage == Stage.COPYING) {
                        disk.stage = Stage.COPIED;
                    }
                });
            }

            @Override
            public void behind() {
                move.post(() -> {
                    if (disk.stage != Stage.LOST && disk.stage != Stage.SWITCHED) {
                        disk.stage = Stage.COPYING;
                    }
                });
            }

            @Override
            public void targetLost(BlockError why) {
                move.post(() -> lost(disk, why));
            }

            @Override
            public void sourceFailed(BlockError why) {
                move.post(() -> lost(disk, why));
            }

            @Override
            public void verified(Verdict verdict) {}

            @Override
            public void proved(Verdict verdict, long comparedBytes) {
                move.post(() -> work.proving().proved(disk, verdict, comparedBytes));
            }

            @Override
            public void notProved(BlockError why) {
                move.post(() -> work.proving().failed(disk, why));
            }

            @Override
            public void recordLost(BlockError why) {
                LOG.error("migration {}: a crash would leave all of the way back to be copied: {}", move.id(), why);
            }
        };
    }

    /** The guest runs on, on the target. */
    private void lost(MovingDisk disk, BlockError why) {
        if (disk.stage == Stage.SWITCHED) {
            return;
        }
        disk.stage = Stage.LOST;
        disk.trouble = why.message();
        prober.parked(work.nanoTime());
        LOG.warn("migration {}: the way back is behind: {}", move.id(), why.message());
        try {
            // Both sides were right until now. From here on only the target is, and the journal has to say so.
            settleDoubt();
        } catch (BlockException e) {
            LOG.error("migration {}: whether the guests have gone back is not known on disk", move.id(), e);
        }
    }

    // ---- what it tells

    /** Looks how the way back is. */
    void sample() throws BlockException {
        Grace grace = ledger.record().grace();
        if (grace == null || disks.isEmpty() || !ledger.record().kept()) {
            return;
        }
        long behindBytes = 0;
        boolean inStep = true;
        List<String> troubles = new ArrayList<>();
        for (MovingDisk disk : disks) {
            if (disk.stage == Stage.SWITCHED) {
                return;
            }
            behindBytes += disk.carrier().behindBytes();
            inStep &= disk.stage != Stage.LOST && disk.stage != Stage.COPYING;
            String trouble = disk.trouble;
            if (disk.stage == Stage.LOST && trouble != null) {
                troubles.add("disk " + disk.disk.name() + ": " + trouble);
            }
        }
        Long until = grace.untilMillis();
        view = new WayBack(
                until == null ? null : Instant.ofEpochMilli(until).toString(),
                until == null ? null : Long.valueOf(Math.max(0, until - ledger.nowMillis()) / 1000),
                inStep && behindBytes == 0,
                behindBytes,
                troubles.isEmpty() ? null : String.join("; ", troubles));
    }
}
