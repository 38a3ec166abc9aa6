package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.stack.OnLoop;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One migration at work: the commands that it takes, and what it tells of itself.
 *
 * <p>Thread: its own, in {@link #run}. Others put commands in its mailbox and wait for the answer; carriers put in what
 * happened. Between two things out of the mailbox {@link MoveWork} does the work, phase after phase.
 */
final class Move implements Runnable {
    private static final Logger LOG = LoggerFactory.getLogger(Move.class);
    private static final long SAMPLE_MILLIS = 200;

    private final Ledger ledger;
    private final InstantSource clock;
    private final Consumer<Move> whenOver;
    private final MoveWork work;
    private final PromisedRoom promised;
    private final PaceSettings pace;
    private final LinkedBlockingQueue<Runnable> mailbox = new LinkedBlockingQueue<>();
    private final CountDownLatch ended = new CountDownLatch(1);
    private final Gauges gauges;
    private boolean closed;
    private boolean cancelled;
    private boolean suspended;

    private volatile boolean paused;
    private volatile long rateBytesPerSecond;
    private volatile @Nullable String parkedFor;
    private volatile @Nullable MoveRecord unwritten;

    /**
     * @param neededBytes room at the target, all disks together
     * @param whenOver told by the move's thread when its last word is spoken, before anybody who waits for it
     */
    Move(Ledger ledger, long neededBytes, MoveWork.Surroundings around, InstantSource clock, Consumer<Move> whenOver) {
        this.whenOver = whenOver;
        this.ledger = ledger;
        this.clock = clock;
        Long rate = ledger.record().rateBytesPerSecond();
        this.rateBytesPerSecond = rate == null ? 0 : rate;
        this.paused = ledger.record().state() == MigrationState.PAUSED;
        PaceSettings kept = ledger.record().pace();
        this.pace = kept == null ? PaceSettings.DEFAULT : kept;
        this.work = new MoveWork(this, ledger, around);
        this.promised = new PromisedRoom(ledger, work, neededBytes);
        this.gauges = new Gauges(work.disks(), work.bases());
    }

    /** Somebody called the move off, or the process is about to end. */
    static final class CalledOff extends Exception {
        private static final long serialVersionUID = 1L;
    }

    // ---- its own thread

    @Override
    public void run() {
        try {
            if (!ledger.record().kept()) {
                work.carry();
            }
            if (!ledger.record().kept() || work.keeping().keep()) {
                work.commit();
            }
        } catch (CalledOff e) {
            if (suspended) {
                work.suspend();
                LOG.info("migration {}: suspended, the next start goes on with it", id());
            } else {
                end(MigrationState.CANCELLED, null);
            }
        } catch (BlockException e) {
            end(MigrationState.FAILED, e.getMessage());
        } catch (RuntimeException e) {
            LOG.error("migration {}: a defect of ferry", id(), e);
            end(MigrationState.FAILED, "a defect of ferry: " + e);
        }
        close();
    }

    private void end(MigrationState state, @Nullable String why) {
        LOG.info("migration {}: {}{}", id(), state.text(), why == null ? "" : ": " + why);
        if (ledger.record().kept()) {
            // What was decided is not undone; the next start goes on with the way back.
            unwritten = ledger.record()
                    .told(clock.millis(), MigrationState.SWITCHED, why + "; 'ferry restart' goes on with the way back");
            return;
        }
        try {
            work.undo(state, why);
        } catch (BlockException | RuntimeException e) {
            LOG.error("migration {} cannot be undone in full; the next start does the rest", id(), e);
            String both = (why == null ? "" : why + "; ") + "not undone in full: " + e.getMessage();
            unwritten = ledger.record().told(clock.millis(), state, both);
        }
    }

    /** What is told of it when it is over, where that could not be written. */
    void lastWord(MoveRecord word) {
        unwritten = word;
    }

    private void close() {
        ledger.close();
        work.keeping().close();
        synchronized (this) {
            closed = true;
        }
        for (Runnable late = mailbox.poll(); late != null; late = mailbox.poll()) {
            late.run();
        }
        whenOver.accept(this);
        ended.countDown();
    }

    /** Works off the mailbox until something has come true. */
    void until(BooleanSupplier done) throws CalledOff, BlockException {
        handleMail();
        while (!done.getAsBoolean()) {
            try {
                Runnable letter = mailbox.poll(SAMPLE_MILLIS, TimeUnit.MILLISECONDS);
                if (letter != null) {
                    letter.run();
                }
            } catch (InterruptedException e) {
                throw new IllegalStateException("nobody interrupts a move", e);
            }
            handleMail();
            sample();
            work.parking().watchSpace();
            if (parkedFor != null && !paused) {
                work.parking().probe();
            }
        }
    }

    /** Waits for one thing to come into the mailbox and works it off, called off or not. */
    void handleOne() {
        try {
            mailbox.take().run();
        } catch (InterruptedException e) {
            throw new IllegalStateException("nobody interrupts a move", e);
        }
    }

    /** Works off what is in the mailbox now. */
    void handleMail() throws CalledOff, BlockException {
        for (Runnable letter = mailbox.poll(); letter != null; letter = mailbox.poll()) {
            letter.run();
        }
        work.check();
        if (cancelled || suspended) {
            throw new CalledOff();
        }
    }

    private void sample() throws BlockException {
        work.keeping().sides().sample();
        work.proving().sample();
        String stopped = paused ? "paused" : parkedFor != null ? "parked" : null;
        gauges.sample(ledger.record(), stopped, rateBytesPerSecond, work.nanoTime());
    }

    /** What a carrier tells, put in the mailbox. */
    Carrier.Events eventsOf(MovingDisk disk) {
        return new MailedEvents(disk, work, mailbox::add);
    }

    /** Something has failed for good; by the move's thread. */
    void fail(BlockException why) {
        work.fail(why);
    }

    void post(Runnable letter) {
        mailbox.add(letter);
    }

    boolean paused() {
        return paused;
    }

    PaceSettings pace() {
        return pace;
    }

    long rateBytesPerSecond() {
        return rateBytesPerSecond;
    }

    void parked(@Nullable String reason) {
        parkedFor = reason;
    }

    // ---- commands of others

    /** A command that may be refused. */
    private interface Command {
        void run() throws BlockException;
    }

    void pause() throws BlockException {
        ask(() -> {
            refuseAfterSwitch("pause");
            if (!paused) {
                work.together().pause();
                paused = true;
                ledger.phase(ledger.record().phase(), MigrationState.PAUSED, null);
            }
        });
    }

    void resume() throws BlockException {
        ask(() -> {
            if (ledger.record().kept()) {
                work.keeping().tryAgain();
                return;
            }
            refuseAfterSwitch("resume");
            if (parkedFor != null) {
                work.unpark();
            }
            if (paused) {
                paused = false;
                work.resume();
                ledger.phase(ledger.record().phase(), MigrationState.RUNNING, null);
            }
        });
    }

    void rate(long bytesPerSecond) throws BlockException {
        ask(() -> {
            refuseAfterSwitch("change the rate of");
            rateBytesPerSecond = bytesPerSecond;
            work.spreadRate();
            ledger.rate(bytesPerSecond);
        });
    }

    void mode(Strategy strategy) throws BlockException {
        ask(() -> {
            refuseAfterSwitch("change the mode of");
            StrategySettings now = ledger.record().how();
            if (now.strategy() == strategy) {
                return;
            }
            if (strategy != Strategy.MIRROR) {
                throw Planner.refusal(
                        ErrorKind.UNSUPPORTED,
                        "migration " + id(),
                        "a " + now.strategy().text() + " cannot become a move by " + strategy.text());
            }
            ledger.strategy(now.with(strategy));
            work.together().mode(strategy);
        });
    }

    void cancel() throws BlockException {
        ask(() -> {
            refuseAfterSwitch("cancel");
            work.settleDoubt();
            cancelled = true;
        });
    }

    /** Begins a comparison beside whatever the move does. */
    void prove() throws BlockException {
        ask(() -> {
            work.prove();
            sample();
        });
    }

    /** Ends the way back, one way or the other; returns when that is done. */
    void end(Keeping.Wish wish) throws BlockException {
        CompletableFuture<Boolean> done = new CompletableFuture<>();
        ask(() -> work.keeping().ask(wish, done));
        OnLoop.join(done);
    }

    /** Stops because the daemon ends, so that the next one goes on; one whose decision has been made is finished instead. */
    void suspend() {
        synchronized (this) {
            if (!closed) {
                mailbox.add(() -> suspended = true);
            }
        }
    }

    /** Sees to it that what a guest writes to this disk is recorded, before it is opened; if the move goes on after a crash. */
    void guard(String disk) throws BlockException {
        work.revival().guard(disk);
    }

    void guardAll() {
        work.revival().guardAll();
    }

    private void refuseAfterSwitch(String what) throws BlockException {
        MoveRecord now = ledger.record();
        boolean allSwitched = now.disks().stream().allMatch(disk -> disk.authority() == Authority.TARGET);
        if (allSwitched) {
            throw Planner.refusal(
                    ErrorKind.INVALID,
                    "migration " + id(),
                    "one cannot " + what + " it any more, the disk is at " + now.targetDatastore());
        }
    }

    private void ask(Command command) throws BlockException {
        CompletableFuture<Boolean> answer = new CompletableFuture<>();
        synchronized (this) {
            if (closed) {
                throw Planner.refusal(
                        ErrorKind.INVALID,
                        "migration " + id(),
                        "it is " + lastRecord().state().text());
            }
            mailbox.add(() -> {
                try {
                    if (cancelled) {
                        throw Planner.refusal(ErrorKind.INVALID, "migration " + id(), "it has been called off");
                    }
                    command.run();
                    answer.complete(true);
                } catch (BlockException | RuntimeException e) {
                    answer.completeExceptionally(e);
                }
            });
        }
        OnLoop.join(answer);
    }

    // ---- what it tells; any thread

    String id() {
        return ledger.record().id();
    }

    /** The last word on this migration. */
    MoveRecord lastRecord() {
        MoveRecord only = unwritten;
        return only != null ? only : ledger.record();
    }

    /** The last record, with what it waits for. */
    MoveRecord seenRecord() {
        MoveRecord last = lastRecord();
        String reason = parkedFor;
        return reason == null ? last : last.told(last.atMillis(), MigrationState.PARKED, reason);
    }

    boolean over() {
        return ended.getCount() == 0;
    }

    boolean moves(String disk) {
        return ledger.record().disks().stream().anyMatch(d -> d.name().equals(disk));
    }

    /** The guests are on the targets, and the way back is open. */
    boolean kept() {
        return ledger.record().kept();
    }

    /** Room at a datastore that this move will fill yet. */
    long promisedBytes(String datastore) {
        return over() ? 0 : promised.bytes(datastore);
    }

    void awaitEnd(Duration limit) {
        try {
            boolean inTime = ended.await(limit.toMillis(), TimeUnit.MILLISECONDS);
            LOG.debug("migration {}: waited for, {}", id(), inTime ? "ended" : "not ended");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private StatusView.Live shown(Phase phase) {
        MigrationStatus.Verification asked = work.proving().view();
        StatusView.Live live = gauges.shown(phase);
        return asked == null ? live : live.with(asked);
    }

    MigrationStatus status() {
        MoveRecord record = lastRecord();
        if (over()) {
            return StatusView.of(record);
        }
        List<DiskRecord> disks = new ArrayList<>(record.disks());
        for (MovingDisk disk : work.disks()) {
            disks.set(
                    disk.index,
                    disk.withFigures(disks.get(disk.index), ledger.record().mover()));
        }
        String reason = parkedFor;
        MigrationState state = record.state();
        if (state == MigrationState.RUNNING || state == MigrationState.PAUSED) {
            state = reason != null ? MigrationState.PARKED : paused ? MigrationState.PAUSED : MigrationState.RUNNING;
        }
        return StatusView.of(
                record,
                disks,
                state,
                reason != null ? reason : record.error(),
                rateBytesPerSecond,
                shown(record.phase()),
                work.keeping().sides().view(),
                work.bases().doneBytes(),
                clock.millis());
    }
}
