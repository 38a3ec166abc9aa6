package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.filter.LatencyWatch;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorListener;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.StepMap;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.filter.mirror.TargetLoss;
import dev.ferry.image.ImageFormat;
import dev.ferry.migration.copy.Agenda;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopierSettings;
import dev.ferry.migration.copy.CopyProgress;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.migration.copy.PaceController;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.migration.copy.TargetHoles;
import dev.ferry.migration.copy.TrailChoice;
import dev.ferry.migration.copy.Verifier;
import dev.ferry.migration.copy.VerifierSettings;
import dev.ferry.migration.copy.VerifyListener;
import dev.ferry.migration.copy.VerifyResult;
import dev.ferry.migration.journal.StepFile;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.stack.Crossing;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.LiveMirror;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The mirror as a strategy: from the start on every write of the guest goes to both sides where the target has been copied,
 * one pass of a copier brings the rest, and from then on both sides are in step until the switch.
 *
 * <p>Thread: that of the move; what it knows of the mirror, the copier and the verifier it asks on the disk's loop.
 */
class MirrorCarrier implements Carrier {
    private static final Logger LOG = LoggerFactory.getLogger(MirrorCarrier.class);
    /** How long the copier gets to come to rest when a move is called off. */
    private static final long STOP_NANOS_MAX = 2_000_000_000L;

    /** A target that is well again has answers on their way. */
    private static final long ANSWER_NANOS_MAX = 2_000_000_000L;

    private static final long LOOK_AGAIN_NANOS = 5_000_000;

    final OpenDisk disk;
    final Events events;
    final Executor workers;
    final Loop loop;
    private final MirrorSettings mirrorSettings;
    private final LongFunction<StepSettings> stepSettings;
    private final CopierSettings copierSettings;
    private @Nullable LiveMirror live;
    private @Nullable StepFile steps;
    private @Nullable StepMap map;

    @Nullable
    Copier copier;

    private @Nullable PaceController controller;
    private @Nullable TrailChoice choice;
    private PaceSettings pace = PaceSettings.DEFAULT;

    @Nullable
    Verifier verifier;

    private @Nullable Completion whenVerifierEnded;
    private @Nullable BlockError lost;
    /** What the last comparison found. */
    private Differences differences = Differences.NONE;

    /** The target has been asked for its holes, if there is a use in that. */
    private boolean asked;

    boolean paused;
    /** Wanted again while an earlier one that was stopped comes to its end. */
    private boolean verifyAgain;

    long rateBytesPerSecond;

    MirrorCarrier(OpenDisk disk, Events events, CarrierSettings settings) {
        this.disk = disk;
        this.events = events;
        this.mirrorSettings = settings.mirror();
        this.stepSettings = settings.steps();
        this.copierSettings = settings.copier();
        this.workers = settings.workers();
        this.loop = disk.loop().loop();
    }

    final LiveMirror live() {
        return Objects.requireNonNull(live);
    }

    Mirror mirror() {
        return live().mirror();
    }

    final PaceController controller() {
        return Objects.requireNonNull(controller);
    }

    /** What kind of mirror it is. */
    LiveMirror.Maker maker() {
        return Mirror::new;
    }

    /** On the loop, once. What is copied next. */
    Agenda agenda() {
        return Agenda.everything(mirror());
    }

    @Override
    public void start(DiskSide target, DiskSteps record) throws BlockException {
        StepFile file = record.open(null, mirrorSettings.regionBytes(), loop);
        steps = file;
        asked = true;
        map = file == null ? null : new StepMap(loop, file, stepSettings.apply(regions()), regions());
        live = LiveMirror.insert(disk, target, mirrorSettings, listener(), map, maker());
        OnLoop.run(loop, this::makeCopier);
    }

    @Override
    public StepFiles.Found guard(DiskSteps record) throws BlockException {
        StepFiles.Found found = record.read(mirrorSettings.regionBytes(), sourceFormat());
        StepFile file = record.open(found, mirrorSettings.regionBytes(), loop);
        steps = file;
        map = file == null
                ? null
                : new StepMap(loop, file, stepSettings.apply(regions()), regions(), found.inStep(), found.firm());
        live = LiveMirror.insert(disk, null, withoutZeroTarget(file), listener(), map, maker());
        return found;
    }

    /** By which it is judged what of the source has outlived the process. */
    ImageFormat sourceFormat() {
        return disk.side().spec().format();
    }

    /** Without a record nobody knows where the target has been written, so that none of it is taken for zeroes. */
    private MirrorSettings withoutZeroTarget(@Nullable StepFile file) {
        return file != null
                ? mirrorSettings
                : new MirrorSettings(mirrorSettings.regionBytes(), mirrorSettings.targetStallNanos(), false);
    }

    private long regions() {
        return (disk.sizeBytes() + mirrorSettings.regionBytes() - 1) / mirrorSettings.regionBytes();
    }

    private MirrorListener listener() {
        return new MirrorListener() {
            @Override
            public void targetLost(BlockError why) {
                lost = why;
                events.targetLost(why);
            }

            @Override
            public void recordLost(BlockError why) {
                events.recordLost(why);
            }
        };
    }

    /** On the loop. */
    private void makeCopier() {
        if (copier == null) {
            Copier made = new Copier(loop, mirror(), disk.loop().buffers(), copierSettings, agenda());
            copier = made;
            LatencyWatch watch = new LatencyWatch();
            disk.watch(watch);
            controller = new PaceController(loop, watch, pace);
            made.rate(rateBytesPerSecond);
            if (paused) {
                made.pause();
            }
        }
        if (choice != null || !mayTrail()) {
            askForHoles();
            return;
        }
        TrailChoice begun = new TrailChoice(loop, mirror(), disk.loop().buffers(), pace.mirroring(), this::askForHoles);
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
    void startCopier() {
        Copier begun = Objects.requireNonNull(copier);
        controller().steer(begun);
        begun.start(this::copierEnded);
    }

    /** On the loop. What ends it because the target is lost has been told by the mirror. */
    void copierEnded(@Nullable BlockError error) {
        controller().stop();
        if (error == null) {
            events.copied();
        } else if (error.kind() != ErrorKind.CANCELLED && mirror().attached()) {
            events.sourceFailed(error);
        }
    }

    @Override
    public void pause() throws BlockException {
        OnLoop.run(loop, () -> {
            paused = true;
            if (copier != null) {
                copier.pause();
            }
            verifyAgain = false;
            if (verifier != null) {
                verifier.stop();
            }
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
            if (verifier != null) {
                verifier.rate(bytesPerSecond);
            }
        });
    }

    @Override
    public void pace(PaceSettings settings) {
        pace = settings;
    }

    @Override
    public void verify() throws BlockException {
        OnLoop.run(loop, this::compareNow);
    }

    /** On the loop. */
    final void compareNow() {
        if (verifier == null) {
            startVerifier();
        } else {
            verifyAgain = true;
        }
    }

    /** On the loop. */
    Verifier newVerifier() {
        return new Verifier(loop, mirror(), disk.loop().buffers(), workers, VerifierSettings.DEFAULT);
    }

    /** On the loop. */
    final void startVerifier() {
        Verifier made = newVerifier();
        verifier = made;
        made.rate(rateBytesPerSecond);
        steerVerifier(made);
        made.start(new VerifyListener() {
            @Override
            public void verified(VerifyResult result) {
                differences = new Differences(result.differences());
                verifierEnded();
                compared(
                        new Verdict(result.equal(), result.sourceDigest(), result.targetDigest(), differences.words()));
            }

            @Override
            public void failed(BlockError why) {
                verifierEnded();
                verificationFailed(why);
            }
        });
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
            startCopier();
        }
    }

    /** On the loop. */
    private void verifierEnded() {
        verifierStopped();
        verifier = null;
        Completion waiting = whenVerifierEnded;
        if (waiting != null) {
            waiting.complete(null);
        } else if (verifyAgain) {
            verifyAgain = false;
            startVerifier();
        }
    }

    /** On the loop. */
    void verifierStopped() {
        controller().stop();
    }

    @Override
    public void mend() throws BlockException {
        OnLoop.run(loop, () -> {
            if (mirror().attached()) {
                differences.spoil(mirror(), disk.sizeBytes());
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
        int inFlight = unanswered();
        for (long end = loop.nanoTime() + ANSWER_NANOS_MAX; inFlight > 0 && loop.nanoTime() - end < 0; ) {
            LockSupport.parkNanos(LOOK_AGAIN_NANOS);
            inFlight = unanswered();
        }
        if (inFlight > 0) {
            throw BlockError.of(
                            ErrorKind.UNAVAILABLE,
                            live().target().spec().path().toString(),
                            "resume",
                            "it has not answered " + inFlight + " requests yet")
                    .toException();
        }
        if (!OnLoop.get(loop, () -> mirror().attached())) {
            live().closeTarget();
        }
    }

    private int unanswered() throws BlockException {
        return OnLoop.get(loop, () -> mirror().attached() ? 0 : mirror().targetInFlight());
    }

    private void stopCopier() throws BlockException {
        boolean rests = OnLoop.await(loop, STOP_NANOS_MAX, whenIdle -> {
            if (copier == null) {
                whenIdle.complete(null);
            } else {
                copier.stop(whenIdle);
            }
        });
        if (!rests) {
            throw BlockError.of(ErrorKind.UNAVAILABLE, "disk " + disk.name(), "resume", "a copy is still in flight")
                    .toException();
        }
    }

    /**
     * A target that ran out of room, or was only slow, has kept what it was given. Of one that failed otherwise, what was
     * flushed is believed, by the record, and the rest is copied again.
     */
    @Override
    public void attach(DiskSide target) throws BlockException {
        BlockError why = lost;
        live().attach(target, why == null || TargetLoss.keepsUnflushed(why));
        OnLoop.run(loop, this::makeCopier);
    }

    @Override
    public boolean attached() throws BlockException {
        return OnLoop.get(loop, () -> mirror().attached());
    }

    @Override
    public void copyAgain() throws BlockException {
        stopCopier();
        OnLoop.run(loop, this::startCopier);
    }

    @Override
    public int regionBytes() {
        return mirrorSettings.regionBytes();
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
                    verifier == null ? 0 : verifier.verifiedBytes(),
                    mirror().trails() ? Mirroring.TRAILING : Mirroring.SYNC,
                    choice == null ? null : choice.latencyMillis(),
                    Offload.of(copier, progress));
        });
    }

    @Override
    public CompletableFuture<Boolean> flush() {
        return OnLoop.start(loop, settled -> mirror().closeUp(inStep -> mirror().settle(settled)));
    }

    @Override
    public void loosen() throws BlockException {
        OnLoop.run(loop, mirror()::trailAgain);
    }

    @Override
    public Passage rest() throws BlockException {
        return passage(live().cross());
    }

    final Passage passage(Crossing crossing) {
        return new Passage() {
            @Override
            public void await() throws BlockException {
                try {
                    crossing.awaitRest();
                } catch (BlockException e) {
                    if (e.kind() == ErrorKind.UNAVAILABLE) {
                        OnLoop.run(loop, MirrorCarrier.this::behind);
                    }
                    throw e;
                }
            }

            @Override
            public void giveUp() throws BlockException {
                crossing.giveUp();
            }

            @Override
            public CompletableFuture<Long> pass() {
                return crossing.pass().thenApply(pause -> {
                    LOG.info("disk {}: switched, {}", disk.name(), pause);
                    return pause.totalNanos();
                });
            }
        };
    }

    @Override
    public void finish() {
        try {
            OnLoop.run(loop, () -> disk.watch(null));
            live().finish(DiskFiles.publishedOf(live().target().spec().path()));
        } catch (BlockException e) {
            LOG.warn("the source of disk {} did not close well", disk.name(), e);
        }
        closeSteps();
    }

    final void closeSteps() {
        StepFile file = steps;
        if (file != null) {
            file.close();
        }
    }

    @Override
    public void suspend() {
        try {
            stop();
            // Nobody writes any more: what a target that trails is owed, it gets, and is in step at the next start.
            if (!OnLoop.await(loop, STOP_NANOS_MAX, mirror()::closeUp)) {
                LOG.warn("disk {}: the target did not catch up; the rest is copied again", disk.name());
            }
            live().setTargetAside();
            StepMap record = map;
            if (record != null) {
                OnLoop.run(loop, record::settle);
            }
        } catch (BlockException e) {
            LOG.warn("disk {} could not be left in good order: {}", disk.name(), e.getMessage());
        }
    }

    @Override
    public void abandon() {
        if (live == null) {
            return;
        }
        try {
            OnLoop.run(loop, () -> disk.watch(null));
            stop();
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

    final void stop() throws BlockException {
        boolean rests = OnLoop.await(loop, STOP_NANOS_MAX, whenIdle -> {
            if (copier == null) {
                whenIdle.complete(null);
            } else {
                copier.stop(whenIdle);
            }
        });
        boolean ends = OnLoop.await(loop, STOP_NANOS_MAX, whenEnded -> {
            Verifier running = verifier;
            if (running == null) {
                whenEnded.complete(null);
            } else {
                whenVerifierEnded = whenEnded;
                running.stop();
            }
        });
        if (!rests || !ends) {
            LOG.warn("disk {}: a copy in flight does not end; it is left to itself", disk.name());
        }
    }
}
