package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.TrackedMirror;
import dev.ferry.filter.snapshot.Layers;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.image.ImageFormat;
import dev.ferry.migration.copy.Agenda;
import dev.ferry.migration.copy.ColdFirst;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.LiveMirror;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Overlays;
import java.io.IOException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A chain of overlays as a strategy: the guest is sent to an overlay, and what is below stands still while it is copied. When
 * that is done, what the guest has written meanwhile is frozen likewise, by another overlay, and copied in another round;
 * until so little is left that the guest is held for it. What is left to be copied, the hold, the comparison and the record
 * for after a crash are those of {@link TrackingCarrier}: what stands still is what was not changed since the freeze.
 *
 * <pre>
 *   guest ─▶ overlay 2        written since the last freeze: copied in the next round
 *            overlay 1        stands still, is copied in this round
 *            the disk's file  stands still, was copied in the first
 * </pre>
 *
 * <p>A move that is called off merges the overlays into the disk's file, the guest at work. One that is interrupted leaves
 * them as files, which are merged before the disk is opened again ({@link Merging#settle}). Where room gets scarce beside the
 * disk, or the chain too long, there are no more overlays: they are merged, and the move goes on by tracking. So it does when
 * little is left and the source is to stay, or to be the way back: it is to be whole then.
 *
 * <p>Thread: that of the move; rounds are frozen by a worker, one at a time.
 */
final class SnapshotCarrier extends TrackingCarrier {
    private static final Logger LOG = LoggerFactory.getLogger(SnapshotCarrier.class);
    private static final String OVERLAID = "in overlays";
    private static final int OVERLAYS_MAX = 12;
    private static final long LOW_BYTES_MAX = 1L << 30;
    private static final int LOW_PART = 50;

    private final MirrorSettings settings;
    private final long roundNanosMin;
    private final DirtyBitmap content;
    /** Held by whoever changes the layers. */
    private final Object changing = new Object();

    private @Nullable Layers layers;
    private @Nullable Overlays overlays;
    /** No more layers: the move is over, or there is no room. Guarded by {@link #changing}. */
    private boolean flat;
    /** The process ends, or is about to. */
    private volatile boolean ending;

    private volatile @Nullable Merging merging;
    /** What merges now. On the loop. */
    private @Nullable Copier merges;
    /** The move is called off, and whoever did that waits. */
    private volatile boolean hurrying;

    /** Set before all else. */
    private volatile boolean sourceStays;
    /** The guest is held, or about to be. Guarded likewise. */
    private boolean resting;
    /** On the loop. */
    private boolean freezing;

    private long frozenNanos;

    private boolean layered;
    private long changedBefore;

    SnapshotCarrier(OpenDisk disk, Events events, CarrierSettings settings, long maxDowntimeNanos) {
        super(disk, events, settings, maxDowntimeNanos);
        this.settings = settings.mirror();
        this.roundNanosMin = settings.roundNanosMin();
        this.content = new DirtyBitmap(disk.sizeBytes(), settings.mirror().regionBytes());
    }

    @Override
    LiveMirror.Maker maker() {
        return (loop, source, target, how, listener, steps) -> {
            Layers made = new Layers(source);
            layers = made;
            TrackedMirror mirror = new TrackedMirror(loop, made, target, how, listener, steps);
            mirror.tracker().add(OVERLAID, content);
            return mirror;
        };
    }

    @Override
    public void start(DiskSide target, DiskSteps record) throws BlockException {
        super.start(target, record);
        begin();
    }

    @Override
    public StepFiles.Found guard(DiskSteps record) throws BlockException {
        StepFiles.Found found = super.guard(record);
        begin();
        return found;
    }

    private void begin() throws BlockException {
        synchronized (changing) {
            overlays = new Overlays(disk, Objects.requireNonNull(layers));
            freeze();
        }
    }

    /** With {@link #changing} held. From now on what the guest changed before counts as cold. */
    private void freeze() throws BlockException {
        Objects.requireNonNull(overlays).freeze(() -> {
            if (!layered) {
                // What is in the file itself needs no merging.
                content.clearAll();
            }
            layered = true;
            changedBefore = 0;
            frozenNanos = loop.nanoTime();
            tracked().cool();
        });
    }

    @Override
    Agenda agenda() {
        ColdFirst made = (ColdFirst) super.agenda();
        made.leavesHot(this::nextRound);
        return made;
    }

    /**
     * On the loop: a round is over, and too much was changed meanwhile.
     *
     * @return true if it will stand still soon
     */
    private boolean nextRound() {
        if (!layered) {
            return false;
        }
        if (!freezing && loop.nanoTime() - frozenNanos >= roundNanosMin) {
            freezing = true;
            workers.execute(this::freezeOrMerge);
        }
        return true;
    }

    private void freezeOrMerge() {
        try {
            synchronized (changing) {
                if (resting) {
                    LOG.debug("disk {} is at rest", disk.name());
                } else if (!flat && roomForMore()) {
                    freeze();
                } else if (!flat) {
                    LOG.info("disk {}: no more overlays; it goes on by tracking", disk.name());
                    flatten();
                }
            }
        } catch (BlockException | RuntimeException e) {
            LOG.warn("disk {}: the next round cannot be frozen: {}", disk.name(), e.getMessage());
        } finally {
            onLoop(() -> freezing = false);
        }
    }

    private void onLoop(Runnable command) {
        try {
            loop.execute(command);
        } catch (RejectedExecutionException ended) {
            LOG.debug("disk {}: its loop has ended with the process", disk.name());
        }
    }

    private boolean roomForMore() throws BlockException {
        long changedBytes = OnLoop.get(loop, () -> tracked().latelyBytes());
        try {
            FileStore store = Files.getFileStore(disk.path());
            long low = Math.min(store.getTotalSpace() / LOW_PART, LOW_BYTES_MAX);
            return Objects.requireNonNull(overlays).count() < OVERLAYS_MAX
                    && store.getUsableSpace() > low + changedBytes;
        } catch (IOException e) {
            LOG.warn("room beside disk {} is not known", disk.name(), e);
            return false;
        }
    }

    /** With {@link #changing} held. */
    private void flatten() throws BlockException {
        flat = true;
        Overlays all = overlays;
        if (all != null && all.count() > 0) {
            Merging begun = new Merging(disk, Objects.requireNonNull(layers), all, content, settings);
            merging = begun;
            if (ending) {
                begun.stop();
            }
            try {
                begun.run(this::mergesBeside);
            } finally {
                merging = null;
                OnLoop.run(loop, () -> {
                    merges = null;
                    beside(null);
                });
            }
            OnLoop.run(loop, () -> layered = false);
        }
    }

    /** On the loop. What is merged comes on top of what is copied, so that each has the rate. */
    private void mergesBeside(Copier copies) {
        merges = copies;
        copies.rate(hurrying ? 0 : rateBytesPerSecond);
        beside(copies);
    }

    @Override
    public void rate(long bytesPerSecond) throws BlockException {
        super.rate(bytesPerSecond);
        OnLoop.run(loop, () -> rateMerges(bytesPerSecond));
    }

    private void rateMerges(long bytesPerSecond) {
        if (merges != null && !hurrying) {
            merges.rate(bytesPerSecond);
        }
    }

    // ---- a source that is to be whole after the switch

    @Override
    public void keepSource() {
        sourceStays = true;
    }

    /** A source that stays is its file alone: little is left, and the overlays are merged; then little has to be left again. */
    @Override
    void allCopied() {
        if (!sourceStays || !layered) {
            super.allCopied();
            return;
        }
        notReady();
        if (!freezing) {
            freezing = true;
            workers.execute(this::mergeForGood);
        }
    }

    private void mergeForGood() {
        try {
            synchronized (changing) {
                LOG.info("disk {}: its overlays are merged, since its file stays", disk.name());
                flatten();
            }
            onLoop(this::merged);
        } catch (BlockException | RuntimeException e) {
            LOG.warn("disk {}: its overlays cannot be merged: {}", disk.name(), e.getMessage());
            if (!ending) {
                events.sourceFailed(BlockError.of(
                        ErrorKind.IO,
                        "disk " + disk.name(),
                        "merge",
                        "its overlays cannot be merged: " + e.getMessage()));
            }
        } finally {
            onLoop(() -> freezing = false);
        }
    }

    /** On the loop. One that is kept in step from now on, and is, has nobody else to say so. */
    private void merged() {
        if (follows() && mirror().attached() && mirror().pendingBytes() == 0) {
            super.allCopied();
        }
    }

    @Override
    long changedInASecond() {
        if (!layered) {
            return super.changedInASecond();
        }
        long changed = tracked().latelyBytes();
        long inASecond = Math.max(0, changed - changedBefore);
        changedBefore = changed;
        return inASecond;
    }

    @Override
    ImageFormat sourceFormat() {
        return ImageFormat.QCOW2;
    }

    @Override
    public Passage rest() throws BlockException {
        synchronized (changing) {
            resting = true;
        }
        Passage passage;
        try {
            passage = super.rest();
        } catch (BlockException | RuntimeException e) {
            goesOn();
            throw e;
        }
        return new Passage() {
            @Override
            public void await() throws BlockException {
                passage.await();
            }

            @Override
            public @Nullable Verdict verdict() {
                return passage.verdict();
            }

            @Override
            public void giveUp() throws BlockException {
                passage.giveUp();
                goesOn();
            }

            @Override
            public CompletableFuture<Long> pass() {
                return passage.pass();
            }
        };
    }

    private void goesOn() {
        synchronized (changing) {
            resting = false;
        }
    }

    @Override
    public void suspend() {
        ending = true;
        Merging running = merging;
        if (running != null) {
            running.stop();
        }
        synchronized (changing) {
            flat = true;
        }
        super.suspend();
    }

    @Override
    public void finish() {
        super.finish();
        try {
            synchronized (changing) {
                flat = true;
                Overlays all = overlays;
                if (all != null) {
                    all.drop();
                }
            }
        } catch (BlockException e) {
            LOG.warn("overlays of the source of disk {} are left: {}", disk.name(), e.getMessage());
        }
    }

    @Override
    public void abandon() {
        try {
            OnLoop.run(loop, () -> {
                rateMerges(0);
                hurrying = true;
            });
            synchronized (changing) {
                flatten();
            }
        } catch (BlockException | RuntimeException e) {
            LOG.error("disk {}: its overlays are merged when it is opened next: {}", disk.name(), e.getMessage());
            leave();
            return;
        }
        super.abandon();
    }

    /** The guest stays on the layers, through a mirror that has no target any more. */
    private void leave() {
        try {
            OnLoop.run(loop, () -> disk.watch(null));
            halt();
            live().dropTarget();
        } catch (BlockException e) {
            LOG.warn("disk {} could not be left in good order: {}", disk.name(), e.getMessage());
        }
        closeSteps();
    }
}
