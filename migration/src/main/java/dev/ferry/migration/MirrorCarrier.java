package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.filter.LatencyWatch;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopierSettings;
import dev.ferry.migration.copy.CopyProgress;
import dev.ferry.migration.copy.DifferingRange;
import dev.ferry.migration.copy.PaceController;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.migration.copy.Verifier;
import dev.ferry.migration.copy.VerifierSettings;
import dev.ferry.migration.copy.VerifyListener;
import dev.ferry.migration.copy.VerifyResult;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.LiveMirror;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The mirror as a strategy: from the start on every write of the guest goes to both sides where the target has been copied,
 * one pass of a copier brings the rest, and from then on both sides are in step until the switch.
 *
 * <p>Thread: that of the move; what it knows of the mirror, the copier and the verifier it asks on the disk's loop.
 */
final class MirrorCarrier implements Carrier {
    private static final Logger LOG = LoggerFactory.getLogger(MirrorCarrier.class);
    /** How long the copier gets to come to rest when a move is called off. */
    private static final long STOP_NANOS_MAX = 2_000_000_000L;

    private final OpenDisk disk;
    private final DiskSide target;
    private final Events events;
    private final MirrorSettings mirrorSettings;
    private final CopierSettings copierSettings;
    private final Executor workers;
    private final Loop loop;
    private @Nullable LiveMirror live;
    private @Nullable Copier copier;
    private @Nullable PaceController controller;
    private PaceSettings pace = PaceSettings.DEFAULT;
    private @Nullable Verifier verifier;
    private @Nullable Completion whenVerifierEnded;
    private @Nullable BlockError lost;
    private boolean paused;
    /** Wanted again while an earlier one that was stopped comes to its end. */
    private boolean verifyAgain;

    private long rateBytesPerSecond;

    /** @param workers where bytes are compared and digested */
    MirrorCarrier(
            OpenDisk disk,
            DiskSide target,
            Events events,
            MirrorSettings mirrorSettings,
            CopierSettings copierSettings,
            Executor workers) {
        this.disk = disk;
        this.target = target;
        this.events = events;
        this.mirrorSettings = mirrorSettings;
        this.copierSettings = copierSettings;
        this.workers = workers;
        this.loop = disk.loop().loop();
    }

    private LiveMirror live() {
        return Objects.requireNonNull(live);
    }

    private Mirror mirror() {
        return live().mirror();
    }

    @Override
    public void start() throws BlockException {
        live = LiveMirror.insert(disk, target, mirrorSettings, this::targetLost);
        OnLoop.run(loop, () -> {
            Copier made = new Copier(loop, mirror(), disk.loop().buffers(), copierSettings);
            copier = made;
            LatencyWatch watch = new LatencyWatch();
            disk.watch(watch);
            controller = new PaceController(loop, watch, pace);
            made.rate(rateBytesPerSecond);
            if (paused) {
                made.pause();
            }
            startCopier();
        });
    }

    /** On the loop. */
    private void startCopier() {
        Copier begun = Objects.requireNonNull(copier);
        Objects.requireNonNull(controller).steer(begun);
        begun.start(this::copierEnded);
    }

    /** On the loop. What ends it because the target is lost has been told by the mirror. */
    private void copierEnded(@Nullable BlockError error) {
        Objects.requireNonNull(controller).stop();
        if (error == null) {
            events.copied();
        } else if (error.kind() != ErrorKind.CANCELLED && mirror().attached()) {
            events.sourceFailed(error);
        }
    }

    /** On the loop. */
    private void targetLost(BlockError why) {
        lost = why;
        events.targetLost(why);
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
        OnLoop.run(loop, () -> {
            if (verifier == null) {
                startVerifier();
            } else {
                verifyAgain = true;
            }
        });
    }

    /** On the loop. */
    private void startVerifier() {
        Verifier made = new Verifier(loop, mirror(), disk.loop().buffers(), workers, VerifierSettings.DEFAULT);
        verifier = made;
        made.rate(rateBytesPerSecond);
        Objects.requireNonNull(controller).steer(made);
        made.start(new VerifyListener() {
            @Override
            public void verified(VerifyResult result) {
                verifierEnded();
                events.verified(
                        new Verdict(result.equal(), result.sourceDigest(), result.targetDigest(), difference(result)));
            }

            @Override
            public void failed(BlockError why) {
                verifierEnded();
                verificationFailed(why);
            }
        });
    }

    /** On the loop. What is not copied any more, because a write of the guest failed on the source, is copied again. */
    private void verificationFailed(BlockError why) {
        if (why.kind() == ErrorKind.BUSY) {
            copyAgain();
        } else if (why.kind() != ErrorKind.CANCELLED && mirror().attached()) {
            events.sourceFailed(why);
        }
    }

    /** On the loop. */
    private void copyAgain() {
        if (mirror().attached()) {
            events.behind();
            startCopier();
        }
    }

    /** On the loop. */
    private void verifierEnded() {
        verifier = null;
        Objects.requireNonNull(controller).stop();
        Completion waiting = whenVerifierEnded;
        if (waiting != null) {
            waiting.complete(null);
        } else if (verifyAgain) {
            verifyAgain = false;
            startVerifier();
        }
    }

    private static @Nullable String difference(VerifyResult result) {
        if (result.differences().isEmpty()) {
            return result.equal() ? null : "an unknown place";
        }
        DifferingRange first = result.differences().getFirst();
        return "byte " + first.offset() + " and the " + first.length() + " from there on";
    }

    /**
     * A target that ran out of room, or was only slow, has kept what it was given. Of one that failed otherwise nobody
     * knows what it lost, so all is copied again.
     */
    @Override
    public void reconnect() throws BlockException {
        if (!OnLoop.await(loop, STOP_NANOS_MAX, Objects.requireNonNull(copier)::stop)) {
            throw BlockError.of(ErrorKind.UNAVAILABLE, "disk " + disk.name(), "resume", "a copy is still in flight")
                    .toException();
        }
        BlockError refusal =
                OnLoop.<Answer>get(loop, () -> new Answer(takeUp())).refusal();
        if (refusal != null) {
            throw refusal.toException();
        }
    }

    private record Answer(@Nullable BlockError refusal) {}

    /** On the loop. */
    private @Nullable BlockError takeUp() {
        Mirror mirror = mirror();
        if (!mirror.attached()) {
            if (mirror.targetInFlight() > 0) {
                return BlockError.of(
                        ErrorKind.UNAVAILABLE,
                        target.spec().path().toString(),
                        "resume",
                        "it has not answered " + mirror.targetInFlight() + " requests yet");
            }
            BlockError why = lost;
            boolean keeps = why != null && (why.kind() == ErrorKind.NO_SPACE || why.kind() == ErrorKind.TIMED_OUT);
            mirror.reattach(target.device(), keeps);
        }
        startCopier();
        return null;
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
                    verifier == null ? 0 : verifier.verifiedBytes());
        });
    }

    @Override
    public CompletableFuture<Boolean> flush() {
        return OnLoop.start(loop, mirror()::flush);
    }

    @Override
    public long switchOver(Decision decision) throws BlockException {
        try {
            LiveMirror.Pause pause = live().switchOver(decision::record);
            LOG.info("disk {}: switched, {}", disk.name(), pause);
            return pause.totalNanos();
        } catch (BlockException e) {
            if (e.kind() == ErrorKind.UNAVAILABLE) {
                OnLoop.run(loop, this::copyAgain);
            }
            throw e;
        }
    }

    @Override
    public void finish() {
        try {
            OnLoop.run(loop, () -> disk.watch(null));
            live().finish(DiskFiles.publishedOf(target.spec().path()));
        } catch (BlockException e) {
            LOG.warn("the source of disk {} did not close well", disk.name(), e);
        }
    }

    @Override
    public void abandon() {
        if (live == null) {
            closeTarget();
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
    }

    private void stop() throws BlockException {
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

    private void closeTarget() {
        try {
            target.close();
        } catch (BlockException e) {
            LOG.warn("the target of disk {} did not close well", disk.name(), e);
        }
    }
}
