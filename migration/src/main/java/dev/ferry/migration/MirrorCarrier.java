package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.filter.LatencyWatch;
import dev.ferry.migration.copy.Agenda;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopyProgress;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.migration.copy.PaceController;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.migration.copy.TargetHoles;
import dev.ferry.migration.copy.TrailChoice;
import dev.ferry.migration.copy.Verifier;
import dev.ferry.migration.copy.VerifierSettings;
import dev.ferry.stack.Crossing;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The mirror as a strategy: from the start on every write of the guest goes to both sides where the target has been copied,
 * one pass of a copier brings the rest, and from then on both sides are in step until the switch.
 *
 * <p>Thread: that of the move; what it knows of the mirror, the copier and the verifier it asks on the disk's loop.
 */
class MirrorCarrier extends CarriedMirror {
    private static final Logger LOG = LoggerFactory.getLogger(MirrorCarrier.class);
    /** How long the copier gets to come to rest when a move is called off. */
    private static final long STOP_NANOS_MAX = 2_000_000_000L;

    /** A target that is well again has answers on their way. */
    private static final long ANSWER_NANOS_MAX = 2_000_000_000L;

    private static final int BESIDE_A_COPY_BYTES = 256 << 10;
    private static final long PART_NANOS_MAX = 20_000_000_000L;

    private final CarrierSettings settings;

    @Nullable
    Copier copier;

    private @Nullable PaceController controller;
    private @Nullable TrailChoice choice;
    private PaceSettings pace = PaceSettings.DEFAULT;

    final Comparison comparison = new Comparison(new Compares());
    /** What carries the other way when the guest has passed. */
    private @Nullable MirrorCarrier turned;

    /** The target has been asked for its holes, if there is a use in that. */
    private boolean asked;

    boolean paused;
    /** The copier is at work, or paused in the middle of it. */
    private boolean copying;

    long rateBytesPerSecond;

    MirrorCarrier(OpenDisk disk, Events events, CarrierSettings settings) {
        super(disk, events, settings);
        this.settings = settings;
    }

    final PaceController controller() {
        return Objects.requireNonNull(controller);
    }

    /** On the loop, once. What is copied next. */
    Agenda agenda() {
        return Agenda.everything(mirror());
    }

    @Override
    public void start(DiskSide target, DiskSteps record) throws BlockException {
        asked = true;
        insert(target, record);
        OnLoop.run(loop, this::makeCopier);
    }

    @Override
    public Carrier turn(Events backEvents, DiskSteps record) throws BlockException {
        dropTurned();
        MirrorCarrier back = new MirrorCarrier(disk, backEvents, settings.with(withoutZeroTarget()));
        back.pace = pace;
        back.asked = true;
        back.turnFrom(this, record);
        turned = back;
        return back;
    }

    private void dropTurned() {
        MirrorCarrier unused = turned;
        turned = null;
        if (unused != null) {
            unused.closeSteps();
        }
    }

    /** On the loop. */
    private void makeCopier() {
        prepareCopier();
        if (choice != null || !mayTrail()) {
            askForHoles();
        } else {
            chooseHow(this::askForHoles);
        }
    }

    /** On the loop: decides whether the target trails. */
    private void chooseHow(Runnable decided) {
        TrailChoice begun = new TrailChoice(loop, mirror(), disk.loop().buffers(), pace.mirroring(), decided);
        choice = begun;
        begun.start();
    }

    /** False if changes do not go to the target anyway. */
    boolean mayTrail() {
        return true;
    }

    /** On the loop. */
    private void askForHoles() {
        if (asked) {
            startCopier();
        } else {
            asked = true;
            new TargetHoles(loop, mirror(), done -> startCopier()).start();
        }
    }

    /** On the loop. */
    private Copier prepareCopier() {
        Copier made = copier;
        if (made == null) {
            made = new Copier(loop, mirror(), disk.loop().buffers(), settings.copier(), agenda());
            copier = made;
            LatencyWatch watch = new LatencyWatch();
            disk.watch(watch);
            controller = new PaceController(loop, watch, pace);
            made.rate(rateBytesPerSecond);
            if (paused) {
                made.pause();
            }
        }
        return made;
    }

    /** On the loop. */
    void startCopier() {
        Copier begun = prepareCopier();
        controller().steer(begun);
        copying = true;
        begun.start(this::copierEnded);
    }

    /** On the loop. What ends it because the target is lost has been told by the mirror. */
    void copierEnded(@Nullable BlockError error) {
        copying = false;
        controller().stop();
        if (error == null) {
            allCopied();
        } else if (error.kind() != ErrorKind.CANCELLED && mirror().attached()) {
            events.sourceFailed(error);
        }
    }

    /** On the loop. */
    void allCopied() {
        events.copied();
    }

    @Override
    public void pause() throws BlockException {
        OnLoop.run(loop, () -> {
            paused = true;
            if (copier != null) {
                copier.pause();
            }
            comparison.stop();
        });
    }

    @Override
    public void resume() throws BlockException {
        OnLoop.run(loop, () -> {
            paused = false;
            if (copier != null) {
                copier.resume();
            }
        });
    }

    @Override
    public void rate(long bytesPerSecond) throws BlockException {
        OnLoop.run(loop, () -> {
            rateBytesPerSecond = bytesPerSecond;
            if (copier != null) {
                copier.rate(bytesPerSecond);
            }
            comparison.rate(bytesPerSecond);
        });
    }

    @Override
    public void pace(PaceSettings settings) {
        pace = settings;
    }

    @Override
    public void verify() throws BlockException {
        OnLoop.run(loop, comparison::begin);
    }

    @Override
    public void prove() throws BlockException {
        boolean begun = OnLoop.get(loop, () -> {
            prepareCopier();
            return comparison.prove();
        });
        if (!begun) {
            throw Planner.refusal(ErrorKind.BUSY, "disk " + disk.name(), "its sides are being compared already");
        }
    }

    /** On the loop. One that compares what is to be compared before the switch. */
    Verifier newVerifier() {
        return wholeVerifier();
    }

    /** On the loop. */
    private Verifier wholeVerifier() {
        return new Verifier(loop, mirror(), disk.loop().buffers(), workers, VerifierSettings.DEFAULT);
    }

    /** On the loop. True if what is compared on demand is compared while a copy goes on. */
    boolean besideACopy() {
        return copying;
    }

    /** On the loop. */
    private Verifier verifier(boolean asked) {
        Verifier made = asked ? wholeVerifier() : newVerifier();
        made.rate(rateBytesPerSecond);
        if (asked ? besideACopy() : copying) {
            made.effort(1, BESIDE_A_COPY_BYTES);
        } else {
            steerVerifier(made);
        }
        return made;
    }

    /** What is compared, on the loop. */
    private final class Compares implements Comparison.Owner {
        @Override
        public Verifier verifier(boolean asked) {
            return MirrorCarrier.this.verifier(asked);
        }

        @Override
        public void stopped() {
            verifierStopped();
        }

        @Override
        public void compared(Verdict verdict) {
            MirrorCarrier.this.compared(verdict);
        }

        @Override
        public void failed(BlockError why) {
            verificationFailed(why);
        }

        @Override
        public void proved(Verdict verdict, long bytes) {
            events.proved(verdict, bytes);
        }

        @Override
        public void notProved(BlockError why) {
            events.notProved(why);
        }
    }

    /** On the loop. */
    void steerVerifier(Verifier made) {
        controller().steer(made);
    }

    /** On the loop. */
    void compared(Verdict verdict) {
        events.verified(verdict);
    }

    /** On the loop. What is not copied any more, because a write of the guest failed on the source, is copied again. */
    void verificationFailed(BlockError why) {
        if (why.kind() == ErrorKind.BUSY) {
            behind();
        } else if (why.kind() != ErrorKind.CANCELLED && mirror().attached()) {
            events.sourceFailed(why);
        }
    }

    /** On the loop. */
    void behind() {
        if (mirror().attached()) {
            events.behind();
            if (!copying) {
                startCopier();
            }
        }
    }

    /** On the loop. */
    void verifierStopped() {
        if (!copying) {
            controller().stop();
        }
    }

    @Override
    public void mend() throws BlockException {
        OnLoop.run(loop, () -> {
            if (mirror().attached()) {
                comparison.spoil(mirror(), disk.sizeBytes());
                behind();
            }
        });
    }

    @Override
    public void closeTarget() throws BlockException {
        stopCopier();
        if (!live().hasTarget()) {
            return;
        }
        int inFlight = live().unanswered(ANSWER_NANOS_MAX);
        if (inFlight > 0) {
            throw Planner.refusal(
                    ErrorKind.UNAVAILABLE,
                    live().target().spec().shownAs(),
                    "it has not answered " + inFlight + " requests yet");
        }
        if (!OnLoop.get(loop, () -> mirror().attached())) {
            live().closeTarget();
        }
    }

    private boolean copierRests() throws BlockException {
        return OnLoop.await(loop, STOP_NANOS_MAX, whenIdle -> {
            if (copier == null) {
                whenIdle.complete(null);
            } else {
                copier.stop(whenIdle);
            }
        });
    }

    private void stopCopier() throws BlockException {
        if (!copierRests()) {
            throw Planner.refusal(ErrorKind.UNAVAILABLE, "disk " + disk.name(), "a copy is still in flight");
        }
    }

    /**
     * A target that ran out of room, or was only slow, has kept what it was given. Of one that failed otherwise, what was
     * flushed is believed, by the record, and the rest is copied again.
     */
    @Override
    public void attach(DiskSide target) throws BlockException {
        takeUp(target);
        OnLoop.run(loop, this::makeCopier);
    }

    @Override
    public void copyAgain() throws BlockException {
        stopCopier();
        OnLoop.run(loop, this::startCopier);
    }

    @Override
    public Figures figures() throws BlockException {
        return OnLoop.get(loop, () -> {
            if (copier == null) {
                return Figures.NONE;
            }
            CopyProgress progress = copier.progress();
            return new Figures(
                    progress.doneBytes(),
                    progress.workBytes(),
                    progress.copiedBytes(),
                    mirror().bytesMirrored(),
                    comparison.comparedBytes(),
                    mirror().trails() ? Mirroring.TRAILING : Mirroring.SYNC,
                    choice == null ? null : choice.latencyMillis(),
                    Offload.of(copier, progress));
        });
    }

    @Override
    public Passage rest() throws BlockException {
        return passage(live().cross());
    }

    final Passage passage(Crossing crossing) {
        MirrorCarrier back = turned;
        return new MirrorPassage(disk, crossing, back == null ? null : back.live(), this::behind);
    }

    @Override
    public void finish() {
        try {
            OnLoop.run(loop, () -> disk.watch(null));
            Path published = DiskFiles.shownOf(live().target().spec().path());
            MirrorCarrier back = turned;
            if (back == null) {
                live().finish(published);
            } else {
                live().published(published);
                OnLoop.run(loop, () -> back.chooseHow(() -> {}));
                turned = null;
            }
        } catch (BlockException e) {
            LOG.warn("the source of disk {} did not close well", disk.name(), e);
        }
        closeSteps();
    }

    @Override
    final void closeSteps() {
        dropTurned();
        super.closeSteps();
    }

    @Override
    public void suspend() {
        try {
            halt();
            // Nobody writes any more: what a target that trails is owed, it gets, and is in step at the next start.
            if (!OnLoop.await(loop, STOP_NANOS_MAX, mirror()::closeUp)) {
                LOG.warn("disk {}: the target did not catch up; the rest is copied again", disk.name());
            }
            live().setTargetAside();
            settleSteps();
        } catch (BlockException e) {
            LOG.warn("disk {} could not be left in good order: {}", disk.name(), e.getMessage());
        }
    }

    @Override
    public void abandon() {
        if (!inserted()) {
            return;
        }
        try {
            OnLoop.run(loop, () -> disk.watch(null));
            halt();
            try {
                live().remove();
            } finally {
                live().dropTarget();
            }
        } catch (BlockException e) {
            LOG.warn("the mirror of disk {} could only be switched off, not taken out", disk.name(), e);
        }
        closeSteps();
    }

    @Override
    public void part() {
        try {
            OnLoop.run(loop, () -> disk.watch(null));
            halt();
            boolean parted = live().part(PART_NANOS_MAX);
            LOG.info("disk {}: the old side is {}", disk.name(), parted ? "closed" : "left to itself");
        } catch (BlockException e) {
            LOG.warn("the old side of disk {} did not close well: {}", disk.name(), e.getMessage());
        }
        closeSteps();
    }

    @Override
    public void halt() throws BlockException {
        boolean rests = copierRests();
        boolean ends = OnLoop.await(loop, STOP_NANOS_MAX, comparison::end);
        if (!rests || !ends) {
            LOG.warn("disk {}: a copy in flight does not end; it is left to itself", disk.name());
        }
    }
}
