package dev.ferry.migration.copy;

import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.Mirror;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Copies the pending regions of a mirror, some at a time, whatever the guest does meanwhile. Which comes next, and when
 * all is done, an {@link Agenda} says; by default every region is copied once, in order.
 *
 * <p>A region that has been begun is finished at full speed: rate and pause act between regions, since guests may wait
 * for one. Regions that become pending again behind the copier are copied in another round. Where requests end inline
 * the copier goes on by commands to its loop, one region in each, so that guests have their turn.
 *
 * <p>Thread: the loop's. Errors: that of the source's read or map, or that for which the mirror let go of the target.
 */
public final class Copier implements Paced {
    private static final long WINDOW_BYTES = 1L << 30;
    private static final int WINDOW_RUNS = 4096;
    private static final int SKIPS_AT_ONCE = 4096;
    private static final double PACE_BURST_SECONDS = 0.01;

    private final Loop loop;
    private final Mirror mirror;
    private final BufferPool buffers;
    private final CopierSettings settings;
    private final Agenda agenda;
    private final TokenBucket bucket;
    private final TokenBucket paceBucket;
    private final DataMap window;
    private final Survey survey;
    private final List<CopySlot> slots = new ArrayList<>();
    private final Runnable turn = this::turn;
    private final Runnable wake = this::wake;
    private final Completion mapped = this::mapped;

    private @Nullable CopySlot freeSlots;
    private int active;
    private int depth;
    private final FarDepth farDepth;
    private int chunkBytes;
    private boolean mapping;
    private boolean turnDue;
    private Loop.@Nullable Timer timer;
    private long cursor;
    private boolean paused;
    private @Nullable BlockError failure;
    private @Nullable Completion allCopied;
    private @Nullable Completion idle;
    private long doneBytes;
    private long copiedBytes;
    private long zeroBytes;
    /** In which the stores copy among themselves, or 0: everything is read and written. */
    private int offloadUnitBytes;

    private long offloadedBytes;
    private @Nullable BlockError offloadRefused;

    public Copier(Loop loop, Mirror mirror, BufferPool buffers, CopierSettings settings) {
        this(loop, mirror, buffers, settings, Agenda.everything(mirror));
    }

    public Copier(Loop loop, Mirror mirror, BufferPool buffers, CopierSettings settings, Agenda agenda) {
        this.agenda = agenda;
        this.loop = loop;
        this.mirror = mirror;
        this.buffers = buffers;
        this.settings = settings;
        this.bucket = new TokenBucket(settings.bytesPerSecond(), loop.nanoTime());
        this.paceBucket = new TokenBucket(0, PACE_BURST_SECONDS, loop.nanoTime());
        this.depth = settings.depth();
        this.chunkBytes = settings.chunkBytes();
        this.farDepth = new FarDepth(
                loop, settings.depth(), settings.farDepth(), Math.min(settings.chunkBytes(), mirror.regionBytes()));
        this.window = DataMap.ofSource(mirror, WINDOW_RUNS);
        this.survey = new Survey(loop, mirror);
    }

    // ---- commands

    /**
     * Begins, or begins again after the end of an earlier run.
     *
     * @param whenDone completes when no region is pending, or with the error that ended the copy, or with {@link
     *     ErrorKind#CANCELLED} after {@link #stop}
     */
    public void start(Completion whenDone) {
        Invariant.that(allCopied == null && idle == null, "copier started twice");
        allCopied = whenDone;
        failure = null;
        cursor = 0;
        offloadUnitBytes = mirror.offloadUnitBytes();
        window.forget();
        survey.start();
        makeSlots(settings.depth());
        if (slots.isEmpty()) {
            failure = BlockError.of(ErrorKind.NO_MEMORY, "copier", "copy", "no buffer is free");
        }
        schedule();
    }

    /** Begins no more regions. Those that were begun are finished. */
    public void pause() {
        paused = true;
    }

    public void resume() {
        paused = false;
        schedule();
    }

    public boolean paused() {
        return paused;
    }

    /** The agenda has something else to say: it is asked again at once. */
    public void ask() {
        lookAgain();
    }

    /**
     * Changes the rate at once.
     *
     * @param bytesPerSecond 0: no bound
     */
    public void rate(long bytesPerSecond) {
        Invariant.that(bytesPerSecond >= 0, "rate of a copier");
        bucket.rate(bytesPerSecond, loop.nanoTime());
        lookAgain();
    }

    @Override
    public void effort(int regions, int requestBytes) {
        chunkBytes = Math.min(requestBytes, settings.chunkBytes());
        // Where regions are small there are more of them at once, so that as much is in flight.
        int parts = Math.max(1, chunkBytes / mirror.regionBytes());
        depth = Math.min(regions * parts, settings.depth());
        schedule();
    }

    @Override
    public void pace(long bytesPerSecond) {
        paceBucket.rate(bytesPerSecond, loop.nanoTime());
        lookAgain();
    }

    @Override
    public long workedBytes() {
        return doneBytes;
    }

    private void lookAgain() {
        Loop.Timer waiting = timer;
        if (waiting != null) {
            waiting.cancel();
            timer = null;
        }
        schedule();
    }

    /** True if what is copied next is copied by the stores themselves. */
    public boolean offloads() {
        return offloadUnitBytes > 0;
    }

    /** Why the stores do not copy among themselves any more, though they said that they might; null if they do, or never did. */
    public @Nullable BlockError offloadRefusal() {
        return offloadRefused;
    }

    /** Bound on bytes a second, or 0. */
    public long rate() {
        return bucket.rate();
    }

    /** Ends the copy. Completes when nothing of it is in flight and its buffers are given back. */
    public void stop(Completion whenIdle) {
        Completion earlier = idle;
        idle = earlier == null
                ? whenIdle
                : error -> {
                    earlier.complete(error);
                    whenIdle.complete(error);
                };
        if (failure == null) {
            failure = BlockError.of(ErrorKind.CANCELLED, "copier", "copy", "stopped");
        }
        schedule();
    }

    public CopyProgress progress() {
        long pending = mirror.pendingBytes();
        long done = survey.done() ? doneBytes + survey.keptBytes() : doneBytes;
        long known = survey.done() ? survey.dataBytes() : doneBytes + pending;
        return new CopyProgress(
                mirror.geometry().sizeBytes(),
                pending,
                Math.max(known, done),
                done,
                copiedBytes,
                offloadedBytes,
                zeroBytes,
                survey.done());
    }

    // ---- what slots tell

    void wasRead(long bytes) {
        doneBytes += bytes;
        bucket.take(bytes);
        paceBucket.take(bytes);
    }

    void written(long bytes) {
        copiedBytes += bytes;
    }

    /** In which the stores copy among themselves; 0: they do not. */
    int offloadUnitBytes() {
        return offloadUnitBytes;
    }

    void offloaded(long bytes) {
        offloadedBytes += bytes;
        written(bytes);
    }

    /** From here on everything is read and written. */
    void offloadRefused(BlockError why) {
        offloadUnitBytes = 0;
        offloadRefused = why;
    }

    void zero(long bytes) {
        zeroBytes += bytes;
    }

    void ended(CopySlot slot, @Nullable BlockError error) {
        active--;
        slot.nextFree = freeSlots;
        freeSlots = slot;
        if (error != null && failure == null) {
            failure = error;
        }
        schedule();
    }

    // ---- turns

    private void schedule() {
        if (!turnDue) {
            turnDue = true;
            loop.execute(turn);
        }
    }

    private void wake() {
        timer = null;
        schedule();
    }

    private void mapped(@Nullable BlockError error) {
        mapping = false;
        if (error != null && failure == null) {
            failure = error;
        }
        schedule();
    }

    private void turn() {
        turnDue = false;
        if (allCopied == null && idle == null) {
            return;
        }
        if (failure == null && !mirror.attached()) {
            failure = BlockError.of(ErrorKind.UNAVAILABLE, "target", "copy", "the mirror has let go of it");
        }
        if (failure == null) {
            begin();
        }
        boolean over = failure != null || agenda.done();
        if (over && active == 0 && !mapping) {
            finish();
        }
    }

    private void begin() {
        int skips = 0;
        // Whoever has asked for less has a reason, also where the target is far.
        int depthNow = depth == settings.depth() ? farDepth.depth() : depth;
        makeSlots(depthNow);
        while (!paused && !mapping && freeSlots != null && active < depthNow && timer == null) {
            long region = nextRegion();
            if (region < 0) {
                if (active == 0 && !agenda.done()) {
                    timer = loop.schedule(agenda.lookAgainNanos(), wake);
                }
                return;
            }
            long from = mirror.regionOffset(region);
            long end = from + mirror.regionLength(region);
            if (!window.covers(from, end)) {
                askWindow(region);
                return;
            }
            boolean trusted = !mirror.changedSinceWatch(region) && !(window.rough() && mirror.belowBytes() > 0);
            boolean hole = trusted && window.nextData(from, end) == end;
            if (hole && mirror.targetIsZero(region)) {
                mirror.skip(region);
                zeroBytes += end - from;
                if (++skips == SKIPS_AT_ONCE) {
                    schedule();
                    return;
                }
            } else if (!copy(region, trusted)) {
                return;
            }
        }
    }

    /** @return false if nothing more may begin in this turn */
    private boolean copy(long region, boolean trusted) {
        long now = loop.nanoTime();
        long wait = Math.max(bucket.waitNanos(now), paceBucket.waitNanos(now));
        if (wait > 0) {
            // It is the turn of this region, and stays so.
            cursor = region;
            timer = loop.schedule(wait, wake);
            return false;
        }
        CopySlot slot = Objects.requireNonNull(freeSlots);
        freeSlots = slot.nextFree;
        slot.nextFree = null;
        active++;
        slot.copy(region, trusted ? window : null, Math.min(chunkBytes, mirror.regionBytes()));
        // Set by a slot that ended inline: the rest of the loop has its turn first.
        return !turnDue;
    }

    private long nextRegion() {
        long region = agenda.next(cursor);
        if (region >= 0) {
            cursor = region + 1;
        }
        return region;
    }

    private void askWindow(long region) {
        mapping = true;
        cursor = region;
        long end = Math.min(mirror.regions(), region + Math.max(1, WINDOW_BYTES / mirror.regionBytes()));
        mirror.watchChanges(region, end);
        long endBytes = mirror.regionOffset(end - 1) + mirror.regionLength(end - 1);
        window.ask(mirror.regionOffset(region), endBytes, mapped);
    }

    private void finish() {
        Loop.Timer waiting = timer;
        if (waiting != null) {
            waiting.cancel();
            timer = null;
        }
        survey.stop();
        for (CopySlot slot : slots) {
            slot.buffer().release();
        }
        slots.clear();
        freeSlots = null;
        Completion whenDone = allCopied;
        Completion whenIdle = idle;
        BlockError result = failure;
        allCopied = null;
        idle = null;
        if (whenDone != null) {
            whenDone.complete(result);
        }
        if (whenIdle != null) {
            whenIdle.complete(null);
        }
    }

    /** Until there are so many, or no memory for more. */
    private void makeSlots(int wanted) {
        int chunk = Math.min(settings.chunkBytes(), mirror.regionBytes());
        while (slots.size() < wanted) {
            IoBuffer buffer = buffers.take(chunk);
            if (buffer == null) {
                return;
            }
            CopySlot slot = new CopySlot(this, mirror, buffer, farDepth);
            slot.nextFree = freeSlots;
            freeSlots = slot;
            slots.add(slot);
        }
    }
}
