package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.migration.copy.CopierSettings;
import dev.ferry.migration.journal.FileJournals;
import dev.ferry.migration.journal.Journal;
import dev.ferry.migration.journal.Journals;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.migration.rehearsal.Outlook;
import dev.ferry.migration.rehearsal.Rehearsal;
import dev.ferry.migration.rehearsal.RehearsalReport;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadFactory;
import org.jspecify.annotations.Nullable;

/**
 * Moves disks between datastores while they are in use.
 *
 * <p>A migration is a thread ({@link Move}) that goes through the {@link Phase}s, and a journal in which each is written
 * before it is acted on. At each instant one side of a disk is the authority, and the journal says which; the inventory
 * ({@link Catalog}) follows it. After a crash {@link #recover} brings every migration that was under way to an end before
 * any disk is opened.
 *
 * <p>Thread: any, for all methods; they block. Errors are {@link BlockException}s with one line for people.
 */
public final class MigrationEngine {
    /** Finished migrations that are remembered. */
    private static final Duration CANCEL_WAIT = Duration.ofSeconds(30);

    private final Journals journals;
    private final Stacks stacks;
    private final Catalog catalog;
    private final MoveWork.Surroundings around;
    private final String host;
    private final InstantSource clock;
    private final ThreadFactory threads;
    private final Planner planner;
    private final TargetRoom room;
    private final Rehearsal rehearsal;
    private final KnownMoves known;
    /** Those that were found interrupted and have no thread yet. */
    private final List<Move> interrupted = new ArrayList<>();

    private long nextNumber = 1;

    /**
     * An engine on files and loops.
     *
     * @param journals directory of its journals, made if need be
     * @param stacks where disks are open, or are opened
     * @param threads make the thread of each migration; virtual ones will do
     */
    public static MigrationEngine open(
            Path journals, Stacks stacks, Catalog catalog, InstantSource clock, ThreadFactory threads)
            throws BlockException {
        // Comparing keeps off half of the cores, however many moves there are: the loops, and the guests, need theirs.
        int comparing = Math.max(1, Runtime.getRuntime().availableProcessors() / 2);
        Executor workers = Executors.newFixedThreadPool(comparing, threads);
        Carrier.Factory carriers = new CarrierSettings(
                        MirrorSettings.DEFAULT,
                        StepSettings::forRegions,
                        CopierSettings.DEFAULT,
                        workers,
                        CarrierSettings.ROUND_NANOS_MIN)
                .factory();
        // A record that waits for its disk waits for nothing else: guests wait for it.
        Executor records = Executors.newCachedThreadPool(threads);
        StepFiles steps = new StepFiles(journals, StepFiles.bootOfThisSystem());
        try {
            FileJournals files = new FileJournals(journals);
            MoveWork.Surroundings around = new MoveWork.Surroundings(
                    stacks,
                    catalog,
                    carriers,
                    steps,
                    records,
                    System::nanoTime,
                    Probing.DEFAULT,
                    new Receipts(journals));
            return new MigrationEngine(files, around, Host.name(), clock, threads);
        } catch (IOException e) {
            throw Planner.refusal(ErrorKind.IO, "journals", "no directory can be made: " + e.getMessage());
        }
    }

    MigrationEngine(
            Journals journals, MoveWork.Surroundings around, String host, InstantSource clock, ThreadFactory threads) {
        this.journals = journals;
        this.stacks = around.stacks();
        this.catalog = around.catalog();
        this.around = around;
        this.host = host;
        this.clock = clock;
        this.threads = threads;
        this.planner = new Planner(catalog, stacks);
        this.room = new TargetRoom(catalog, stacks);
        this.known = new KnownMoves(journals, around.receipts());
        this.rehearsal = new Rehearsal(stacks, around.workers(), around.nanoTime());
        around.bases().among(known::unfinished);
    }

    /**
     * Reads the journals; called once, before any disk is opened. What had been decided is brought to its end. What had not
     * goes on: from when this returns, guests may write, for it will be known what they wrote; {@link #goOn} begins the
     * work.
     *
     * @return migrations that were not over, as they are now
     * @throws BlockException if the journals cannot be read at all
     */
    public synchronized List<MigrationStatus> recover() throws BlockException {
        List<MigrationStatus> recovered = new ArrayList<>();
        Recovery recovery = recovery();
        try {
            List<Journals.Found> all = journals.all();
            around.bases().among(() -> unfinished(all));
            for (Journals.Found found : all) {
                nextNumber = Math.max(nextNumber, FileJournals.numberOf(found.id()) + 1);
                MoveRecord last = found.last();
                boolean foreign = last != null && isForeign(last);
                if (last != null && found.damage() == null && !foreign && Recovery.goesOn(last)) {
                    recovered.add(takeUp(found, last).status());
                    continue;
                }
                MoveRecord now =
                        foreign ? recovery.damaged(found.id(), last, "it is of another host") : recovery.recover(found);
                if (now == null) {
                    continue;
                }
                known.add(found.id(), now);
                if (last == null || !last.state().over()) {
                    recovered.add(StatusView.of(now));
                }
            }
        } catch (IOException e) {
            throw Planner.refusal(ErrorKind.IO, "journals", "they cannot be read: " + e.getMessage());
        } finally {
            around.bases().among(known::unfinished);
        }
        known.prune();
        return recovered;
    }

    /** Of moves that were found, those that are not over. */
    private static List<MoveRecord> unfinished(List<Journals.Found> all) {
        List<MoveRecord> records = new ArrayList<>();
        for (Journals.Found found : all) {
            MoveRecord last = found.last();
            if (last != null && last.phase() != Phase.END) {
                records.add(last);
            }
        }
        return records;
    }

    private boolean isForeign(MoveRecord last) {
        String other = last.host();
        return other != null && !other.equals(host) && !last.state().over();
    }

    private Recovery recovery() {
        return new Recovery(journals, catalog, around.steps(), clock, around.bases());
    }

    private Move takeUp(Journals.Found found, MoveRecord last) throws IOException {
        Ledger ledger = new Ledger(journals, journals.reopen(found), last, clock);
        Move move = new Move(ledger, room.neededBytes(last), around, clock, known::retire);
        known.add(move);
        interrupted.add(move);
        move.guardAll();
        return move;
    }

    /** Goes on with the migrations that {@link #recover} found interrupted. */
    public synchronized void goOn() {
        interrupted.forEach(move -> threads.newThread(move).start());
        interrupted.clear();
    }

    /**
     * To be called before a disk is opened: if a migration of it goes on after a crash, what is written is recorded from then
     * on. Does nothing for a disk that is guarded already, or not moving.
     *
     * @throws BlockException if that is not possible; the disk must not be opened then
     */
    public void beforeOpen(String disk) throws BlockException {
        Merging.settle(stacks, catalog.disk(disk).spec());
        known.refuseWhereTheInventoryIsBehind(catalog, disk);
        for (Move move : known.atWork()) {
            if (move.moves(disk)) {
                move.guard(disk);
            }
        }
    }

    /**
     * Tries out how a move would go, and says so; leaves nothing behind.
     *
     * @throws BlockException if a disk or the datastore is not there, or cannot be looked at
     */
    public RehearsalReport rehearse(MigrationRequest request) throws BlockException {
        Outlook outlook =
                planner.outlook(request, promisedBytes(request.targetDatastore()), known::refuseIfMoving, mover());
        return rehearsal.run(outlook);
    }

    private MigrationPlan plan(MigrationRequest request) throws BlockException {
        for (String disk : request.disks()) {
            known.refuseIfMoving(disk);
        }
        return planner.plan(request, promisedBytes(request.targetDatastore()));
    }

    /** What moves bytes here where no store does. */
    private String mover() {
        return stacks.loopKind().equals("io_uring") ? "native" : "portable";
    }

    /** Starts a move; returns when it has been checked and is written down. Files are looked at before anybody else has to wait. */
    public MigrationStatus start(MigrationRequest request) throws BlockException {
        return start(request, plan(request));
    }

    private synchronized MigrationStatus start(MigrationRequest request, MigrationPlan plan) throws BlockException {
        for (String disk : request.disks()) {
            known.refuseIfMoving(disk);
        }
        planner.confirm(plan, promisedBytes(request.targetDatastore()));
        MoveRecord first = FirstRecord.of("m" + nextNumber, host, clock.millis(), mover(), catalog, request, plan);
        Journal journal;
        try {
            journal = journals.create(first);
        } catch (IOException e) {
            throw Planner.refusal(ErrorKind.IO, "journal", "it cannot be written: " + e.getMessage());
        }
        nextNumber++;
        Move move =
                new Move(new Ledger(journals, journal, first, clock), plan.neededBytes(), around, clock, known::retire);
        known.add(move);
        threads.newThread(move).start();
        return move.status();
    }

    /**
     * What a move has done whose guests have switched, and what proves it.
     *
     * @throws BlockException if they have not
     */
    public synchronized Receipt receipt(String id) throws BlockException {
        MoveRecord record = known.record(id);
        boolean switched = record != null
                && switch (record.state()) {
                    case DONE, ROLLED_BACK -> true;
                    case SWITCHED -> record.kept();
                    case RUNNING, PAUSED, PARKED, FAILED, CANCELLED -> false;
                };
        if (record == null || !switched) {
            MigrationStatus status = find(id);
            throw Planner.refusal(
                    ErrorKind.INVALID,
                    "migration " + id,
                    "it is " + status.state().text() + "; there is a receipt once its guests have switched");
        }
        return around.receipts().keep(record);
    }

    /** Room at a datastore that moves have still to fill. */
    long promisedBytes(String datastore) {
        return known.promisedBytes(datastore);
    }

    /** Whether a disk is being moved, so that nobody deletes, grows or opens it otherwise. */
    public boolean moving(String disk) {
        try {
            known.refuseIfMoving(disk);
            return false;
        } catch (BlockException e) {
            return true;
        }
    }

    /** All migrations, oldest first. */
    public List<MigrationStatus> list() {
        return known.list();
    }

    /** @throws BlockException of kind {@code NOT_FOUND} if there is no such migration */
    public MigrationStatus find(String id) throws BlockException {
        return known.find(id);
    }

    /** Waits until a migration is over or can do nothing more by itself, but not longer than {@code limit}. */
    public MigrationStatus await(String id, Duration limit) throws BlockException {
        Move move = known.atWork(id);
        if (move != null) {
            move.awaitEnd(limit);
        }
        return find(id);
    }

    public MigrationStatus pause(String id) throws BlockException {
        known.require(id, "pause").pause();
        return find(id);
    }

    /** Goes on with a paused or parked migration. */
    public MigrationStatus resume(String id) throws BlockException {
        known.require(id, "resume").resume();
        return find(id);
    }

    /** Bounds the copying of a whole move, now; 0: no bound. */
    public MigrationStatus rate(String id, long bytesPerSecond) throws BlockException {
        if (bytesPerSecond < 0) {
            throw Planner.refusal(ErrorKind.INVALID, "the request", "a rate is not below zero");
        }
        known.require(id, "change the rate of").rate(bytesPerSecond);
        return find(id);
    }

    /** Goes on with a move by another strategy; one by tracking can become a mirror. */
    public MigrationStatus mode(String id, Strategy strategy) throws BlockException {
        known.require(id, "change the mode of").mode(strategy);
        return find(id);
    }

    /** Calls a migration off; when this returns the target is gone, unless its store does not answer. */
    public MigrationStatus cancel(String id) throws BlockException {
        Move move = known.require(id, "cancel");
        move.cancel();
        move.awaitEnd(CANCEL_WAIT);
        return find(id);
    }

    /**
     * Begins to compare both sides of what has been copied, beside the guests; the disks' proofs say what came of it.
     *
     * @throws BlockException if there is nothing to compare, or it is being compared already
     */
    public MigrationStatus verify(String id) throws BlockException {
        known.require(id, "verify").prove();
        return find(id);
    }

    /** Closes the way back and deletes the sources; or does what is left to do after a switch. */
    public MigrationStatus commit(String id) throws BlockException {
        return end(id, Keeping.Wish.COMMIT, Phase.COMMIT, "commit");
    }

    /** Takes the guests back to the sources; or does what is left to do after that. */
    public MigrationStatus rollback(String id) throws BlockException {
        return end(id, Keeping.Wish.ROLLBACK, Phase.ROLLBACK, "roll back");
    }

    private MigrationStatus end(String id, Keeping.Wish wish, Phase phase, String what) throws BlockException {
        Move move = known.atWork(id);
        if (move != null) {
            move.end(wish);
            move.awaitEnd(CANCEL_WAIT);
            return find(id);
        }
        return finish(id, phase, what);
    }

    private synchronized MigrationStatus finish(String id, Phase phase, String what) throws BlockException {
        MoveRecord record = known.over(id);
        if (record == null || record.state().over() || record.phase() != phase) {
            MigrationStatus status = find(id);
            String hint = wayBackHint(record, phase);
            throw Planner.refusal(
                    ErrorKind.INVALID,
                    "migration " + id,
                    "it is " + status.state().text() + ", there is nothing to " + what + hint);
        }
        MoveRecord after = recovery().finish(record);
        known.add(id, after);
        return StatusView.of(after);
    }

    private static String wayBackHint(@Nullable MoveRecord record, Phase phase) {
        if (phase != Phase.ROLLBACK || record == null || record.state() != MigrationState.DONE) {
            return "";
        }
        return (record.grace() == null
                        ? "; no way back was kept, which 'ferry migrate --grace' does"
                        : "; the way back is closed")
                + "; move the disk back with 'ferry migrate'";
    }

    /**
     * Stops what is under way, before the daemon ends, so that the next start goes on with all of it. Guests are gone.
     *
     * @param limit how long it may take for each; what has not stopped then goes on as after a crash
     */
    public void suspend(Duration limit) {
        goOn();
        List<Move> live = known.atWork();
        live.forEach(Move::suspend);
        live.forEach(move -> move.awaitEnd(limit));
    }

    /** True while no move has a thread at work. */
    public boolean isIdle() {
        return known.isIdle();
    }
}
