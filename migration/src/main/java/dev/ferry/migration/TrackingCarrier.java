package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.TrackedMirror;
import dev.ferry.migration.copy.Agenda;
import dev.ferry.migration.copy.ColdFirst;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopyProgress;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.migration.copy.Paced;
import dev.ferry.migration.copy.Proof;
import dev.ferry.migration.copy.Verifier;
import dev.ferry.migration.copy.VerifierSettings;
import dev.ferry.stack.Crossing;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.LiveMirror;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * Iterations as a strategy: what the guest changes goes to the source alone, and the copier comes by again and again,
 * first where the guest has let be, until what is left can be moved while the guest is held. {@link ConvergenceJudge}
 * judges that from the rates that are measured. The comparison goes in rounds likewise: what was changed meanwhile is
 * compared again, the last of it while the guest is held.
 *
 * <pre>
 *   copy, iteration after iteration ── little left ──▶ compare, round after round ── little left ──▶ hold the guest:
 *        ▲                                                                                          copy the rest,
 *        └──────────────────── more left than was thought, or the hold took too long ──────────────  compare it, flush
 * </pre>
 *
 * <p>It may be made a mirror at any time ({@link #mode}), and then is one.
 *
 * <p>Thread: that of the move; its figures and its ticks belong to the disk's loop.
 */
class TrackingCarrier extends MirrorCarrier {
    private static final long TICK_NANOS = 200_000_000L;
    private static final int TICKS_TO_A_TURN = 5;
    /** What may come between a look at what is left and the hold. */
    private static final double READY_SHARE = 0.8;
    /** Below this it is no use to copy what the guest is at work on. */
    private static final double LITTLE_SHARE = 0.5;

    /** What a hold may take longer than it was thought to, before it is given up. */
    private static final long HOLD_GRACE_NANOS = 500_000_000L;

    private static final int REGIONS_AT_ONCE = 16;
    private static final VerifierSettings ROUND =
            new VerifierSettings(REGIONS_AT_ONCE, VerifierSettings.DEFAULT.differencesMax());

    private final long maxDowntimeNanos;
    private final ConvergenceJudge judge;
    private final Dial dial;
    private final ConvergenceMeter meter;
    private final LastStep lastStep = new LastStep();
    private final Runnable tick = this::tick;

    private @Nullable ColdFirst coldFirst;
    private @Nullable Proof proof;
    private Loop.@Nullable Timer timer;
    private boolean copying;
    /** It has been told that all is copied, or compared, and nothing to the contrary since. */
    private boolean ready;

    /** A comparison is wanted, and has not come to its end. */
    private boolean comparing;

    private int ticks;

    TrackingCarrier(OpenDisk disk, Events events, CarrierSettings settings, long maxDowntimeNanos) {
        super(disk, events, settings.withCopiesAtOnce(REGIONS_AT_ONCE));
        this.maxDowntimeNanos = maxDowntimeNanos;
        this.judge = new ConvergenceJudge(maxDowntimeNanos);
        this.dial = new Dial(loop);
        this.meter = new ConvergenceMeter(judge, dial);
    }

    final TrackedMirror tracked() {
        return (TrackedMirror) mirror();
    }

    private ColdFirst agendaOf() {
        return Objects.requireNonNull(coldFirst);
    }

    final boolean follows() {
        return tracked().follows();
    }

    @Override
    LiveMirror.Maker maker() {
        return TrackedMirror::new;
    }

    @Override
    boolean mayTrail() {
        return false;
    }

    @Override
    Agenda agenda() {
        ColdFirst made = new ColdFirst(tracked(), this::littleLeft);
        made.untilNothingIsLeft(follows());
        coldFirst = made;
        return made;
    }

    // ---- copying; on the loop

    private boolean littleLeft() {
        return judge.downtimeNanos(mirror().pendingBytes(), 0) <= maxDowntimeNanos * LITTLE_SHARE;
    }

    @Override
    void startCopier() {
        ready = false;
        if (copying) {
            return;
        }
        copying = true;
        Copier begun = Objects.requireNonNull(copier);
        dial.copies(begun);
        controller().steer(dial);
        begun.start(this::copierEnded);
        meter.begin(loop.nanoTime(), begun.workedBytes());
        if (timer == null) {
            timer = loop.schedule(TICK_NANOS, tick);
        }
    }

    /** One that is done is so because the guest is held, or because both sides are kept in step. */
    @Override
    void copierEnded(@Nullable BlockError error) {
        copying = false;
        if (!lastStep.underWay() && error == null && !follows()) {
            startCopier();
        } else if (!lastStep.underWay()) {
            super.copierEnded(error);
        } else if (error != null) {
            lastStep.end(error);
        } else if (proof == null) {
            lastStep.end(null);
        } else {
            comparison.begin();
        }
    }

    @Override
    boolean besideACopy() {
        return copying || super.besideACopy();
    }

    @Override
    void behind() {
        comparing = false;
        super.behind();
    }

    private long unprovedBytes() {
        Proof now = proof;
        return now == null || !(comparing || ready) ? 0 : now.unprovedBytes();
    }

    private double downtimeNanos() {
        return judge.downtimeNanos(mirror().pendingBytes(), unprovedBytes());
    }

    private void tick() {
        timer = null;
        if (!mirror().attached() || !copying || follows() || lastStep.underWay()) {
            judge.interrupt();
            if (copying && !follows()) {
                timer = loop.schedule(TICK_NANOS, tick);
            }
            return;
        }
        timer = loop.schedule(TICK_NANOS, tick);
        if (++ticks % TICKS_TO_A_TURN == 0) {
            meter.dirty(changedInASecond());
        }
        sample();
        boolean passed = agendaOf().iterations() > 1;
        if (!paused && passed && !ready && !comparing && downtimeNanos() <= maxDowntimeNanos * READY_SHARE) {
            ready = true;
            allCopied();
        }
        if (comparing && !paused && !comparison.underWay()) {
            comparison.begin();
        }
    }

    /** On the loop. What is turned with the copier, so that a guest does not feel it more; null: nothing is. */
    final void beside(@Nullable Paced other) {
        dial.beside(other);
    }

    /** On the loop. What was told, or was about to be, is to be told again when it is so. */
    final void notReady() {
        ready = false;
    }

    /** On the loop, once a second. */
    long changedInASecond() {
        return tracked().turn();
    }

    private void sample() {
        if (paused) {
            judge.interrupt();
        }
        boolean busy = !paused && !agendaOf().idled();
        meter.sample(
                loop.nanoTime(),
                busy,
                Objects.requireNonNull(copier).workedBytes(),
                mirror().pendingBytes(),
                unprovedBytes(),
                agendaOf().iterations());
    }

    // ---- comparing; on the loop

    @Override
    public void verify() throws BlockException {
        OnLoop.run(loop, () -> {
            if (follows()) {
                proof = null;
                comparison.begin();
                return;
            }
            if (proof == null) {
                tracked().unproved().setAll();
                proof = new Proof(tracked().unproved());
            }
            comparing = true;
            ready = false;
            comparison.begin();
        });
    }

    @Override
    Verifier newVerifier() {
        if (proof == null) {
            return super.newVerifier();
        }
        return new Verifier(loop, mirror(), disk.loop().buffers(), workers, ROUND, proof);
    }

    @Override
    void steerVerifier(Verifier made) {
        if (follows()) {
            super.steerVerifier(made);
        } else if (lastStep.underWay()) {
            dial.begins(made);
            made.effort(REGIONS_AT_ONCE, mirror().regionBytes());
            made.rate(0);
        } else {
            dial.begins(made);
            dial.turn(made);
        }
    }

    @Override
    void verifierStopped() {
        if (follows()) {
            super.verifierStopped();
        }
        dial.ended();
    }

    /** A round is over. What was changed meanwhile is compared in another, or, if it is little, when the guest is held. */
    @Override
    void compared(Verdict verdict) {
        if (!verdict.equal()) {
            // Its digests differ for good.
            forgetComparison();
        }
        if (lastStep.underWay()) {
            lastStep.judged(verdict);
            if (!verdict.equal()) {
                events.verified(verdict);
            }
            boolean whole = verdict.equal() && unprovedBytes() == 0;
            lastStep.end(whole ? null : failure("source and target differ in what was moved last"));
        } else if (follows()) {
            events.verified(verdict);
        } else if (!verdict.equal() || downtimeNanos() <= maxDowntimeNanos * READY_SHARE) {
            comparing = false;
            ready = true;
            events.verified(verdict);
        }
    }

    @Override
    void verificationFailed(BlockError why) {
        if (lastStep.underWay()) {
            lastStep.end(why);
        } else {
            super.verificationFailed(why);
        }
    }

    @Override
    public void pause() throws BlockException {
        super.pause();
        OnLoop.run(loop, () -> {
            if (comparing) {
                forgetComparison();
            }
        });
    }

    private void forgetComparison() {
        comparing = false;
        proof = null;
    }

    // ---- the last of it, while the guest is held

    @Override
    public CompletableFuture<Boolean> flush() {
        return OnLoop.start(loop, whenDone -> {
            long begun = loop.nanoTime();
            mirror().settle(error -> {
                meter.flushTook(loop.nanoTime() - begun);
                whenDone.complete(error);
            });
        });
    }

    @Override
    public Passage rest() throws BlockException {
        if (OnLoop.get(loop, this::follows)) {
            return super.rest();
        }
        boolean little = OnLoop.get(loop, () -> downtimeNanos() <= maxDowntimeNanos);
        if (!little) {
            OnLoop.run(loop, this::again);
            throw failure("more is left than can be moved while the guest is held")
                    .toException();
        }
        Crossing crossing = live().cross(this::moveTheRest, maxDowntimeNanos + HOLD_GRACE_NANOS);
        Passage passage = passage(crossing);
        return new Passage() {
            @Override
            public void await() throws BlockException {
                try {
                    crossing.awaitRest();
                } catch (BlockException e) {
                    OnLoop.run(loop, TrackingCarrier.this::again);
                    throw e.kind() == ErrorKind.TIMED_OUT
                            ? failure("the last of the copy took longer than was thought")
                                    .toException()
                            : e;
                }
            }

            @Override
            public @Nullable Verdict verdict() {
                return lastStep.verdict();
            }

            @Override
            public void giveUp() throws BlockException {
                passage.giveUp();
                OnLoop.run(loop, TrackingCarrier.this::goOn);
            }

            @Override
            public CompletableFuture<Long> pass() {
                return passage.pass();
            }
        };
    }

    /** On the loop. More iterations are needed after all. */
    private void again() {
        goOn();
        comparing = false;
        ready = false;
        if (mirror().attached()) {
            events.behind();
        }
    }

    /** On the loop, with nothing of the guest in flight. */
    private void moveTheRest(Completion done) {
        lastStep.begin(done);
        controller().stop();
        Copier last = Objects.requireNonNull(copier);
        agendaOf().untilNothingIsLeft(true);
        last.rate(0);
        last.pace(0);
        last.effort(REGIONS_AT_ONCE, mirror().regionBytes());
        if (copying) {
            last.ask();
        } else {
            lastStep.end(failure("nothing is being copied"));
        }
    }

    /** On the loop. The guest is not held any more, and is on the source. */
    private void goOn() {
        lastStep.giveUp();
        if (coldFirst == null || copier == null) {
            return;
        }
        agendaOf().untilNothingIsLeft(follows());
        copier.rate(rateBytesPerSecond);
        comparison.rate(rateBytesPerSecond);
        if (mirror().attached()) {
            boolean told = ready;
            startCopier();
            ready = told;
            controller().steer(dial);
        }
    }

    private BlockError failure(String detail) {
        return BlockError.of(ErrorKind.UNAVAILABLE, "disk " + disk.name(), "switch", detail);
    }

    // ---- what it is told

    @Override
    public void attach(DiskSide target) throws BlockException {
        OnLoop.run(loop, this::forgetComparison);
        super.attach(target);
    }

    @Override
    public void mode(Strategy strategy) throws BlockException {
        if (strategy != Strategy.MIRROR) {
            return;
        }
        OnLoop.run(loop, () -> {
            if (follows()) {
                return;
            }
            tracked().follow();
            forgetComparison();
            comparison.stopRunning();
            Copier again = copier;
            if (again != null) {
                agendaOf().untilNothingIsLeft(true);
                again.ask();
                if (mirror().attached()) {
                    events.behind();
                    startCopier();
                }
            }
        });
    }

    @Override
    public Figures figures() throws BlockException {
        return OnLoop.get(loop, () -> {
            Copier now = copier;
            if (now == null) {
                return Figures.NONE;
            }
            CopyProgress progress = now.progress();
            long left = progress.doneBytes() + progress.pendingBytes();
            boolean firstPass = !follows() && agendaOf().iterations() < 2;
            long compared =
                    follows() || proof == null ? comparison.comparedBytes() : disk.sizeBytes() - proof.unprovedBytes();
            return new Figures(
                    progress.doneBytes(),
                    firstPass ? progress.workBytes() : left,
                    progress.copiedBytes(),
                    mirror().bytesMirrored(),
                    compared,
                    Mirroring.SYNC,
                    null,
                    Offload.of(now, progress));
        });
    }

    @Override
    public @Nullable Convergence convergence() throws BlockException {
        return OnLoop.get(loop, () -> follows() || copier == null ? null : judge.verdict());
    }
}
