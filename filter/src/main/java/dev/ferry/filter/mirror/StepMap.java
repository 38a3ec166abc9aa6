package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.Loop;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The record of which regions are in step that outlives the daemon: what makes a move go on after a crash where it was.
 *
 * <p>A region is <em>open</em> from before a change goes to either side until nothing has gone there for a tick; a crash
 * of the process makes open regions doubtful, and no others. A region is <em>firm</em> once both sides have been flushed
 * with nothing written there since; a loss of power leaves firm regions in step, and no others. A change of a firm region
 * waits until it is durable that the region is not firm any more: the mark. Changes that wait at the same time share a
 * write and a sync. The states and what they promise are drawn in the README of {@code migration}.
 *
 * <p>Thread: the loop's. In the steady state a change allocates nothing.
 */
public class StepMap {
    private final Loop loop;
    private final StepStore store;
    private final StepSettings settings;
    private final long regions;
    private final boolean goesOn;
    private final RegionMap copied;
    private final RegionMap open;
    private final RegionMap touched;
    /** What the store may hold: a bit is cleared here when it is durable that it is clear there. */
    private final RegionMap firm;
    /** What the store is to hold. */
    private final RegionMap firmWanted;

    private final RegionMap touchedSinceCheckpoint;
    /** What becomes firm when the flushes under way succeed. */
    private final RegionMap candidates;

    private final Runnable tick = this::tick;
    private final Runnable checkpoint = this::checkpoint;
    private final Completion synced = this::synced;

    private @Nullable Mirror mirror;
    private @Nullable BlockError failure;
    private Loop.@Nullable Timer tickTimer;
    private Loop.@Nullable Timer checkpointTimer;
    private boolean flushing;
    private boolean syncing;
    private boolean staged;
    private boolean closed;
    private @Nullable Change firstParked;
    private @Nullable Change lastParked;
    private @Nullable Change firstMarking;

    /**
     * The record of a move that begins: nothing is in step.
     *
     * @param regions as many as the mirror has
     */
    public StepMap(Loop loop, StepStore store, StepSettings settings, long regions) {
        this(
                loop,
                store,
                settings,
                regions,
                new long[RegionMap.wordsFor(regions)],
                new long[RegionMap.wordsFor(regions)],
                false);
    }

    /**
     * The record of a move that goes on. What is in step and not open now becomes the store's.
     *
     * @param inStep regions that are in step
     * @param firm those of them that are so whatever happens
     */
    public StepMap(Loop loop, StepStore store, StepSettings settings, long regions, long[] inStep, long[] firm) {
        this(loop, store, settings, regions, inStep, firm, true);
    }

    private StepMap(
            Loop loop,
            StepStore store,
            StepSettings settings,
            long regions,
            long[] inStep,
            long[] firmWords,
            boolean goesOn) {
        this.loop = loop;
        this.store = store;
        this.settings = settings;
        this.regions = regions;
        this.goesOn = goesOn;
        this.copied = new RegionMap(regions, inStep, this::storeCopied);
        this.open = new RegionMap(regions, new long[inStep.length], this::storeOpen);
        this.touched = new RegionMap(regions);
        this.firm = new RegionMap(regions, firmWords.clone(), (word, bits) -> {});
        this.firmWanted = new RegionMap(regions, firmWords.clone(), this::stageFirm);
        this.touchedSinceCheckpoint = new RegionMap(regions);
        this.candidates = new RegionMap(regions);
        for (int word = 0; word < inStep.length; word++) {
            Invariant.that((firmWords[word] & ~inStep[word]) == 0, "a region that is firm and not in step");
        }
    }

    // ---- what is kept

    private void storeCopied(int word, long bits) {
        if (failure == null) {
            store.copied(word, bits);
        }
    }

    private void storeOpen(int word, long bits) {
        if (failure == null) {
            store.open(word, bits);
        }
    }

    private void stageFirm(int word, long bits) {
        if (failure == null) {
            store.firm(word, bits);
            staged = true;
        }
    }

    // ---- for the mirror

    void bind(Mirror owner) {
        Invariant.that(mirror == null && owner.regions() == regions, "a record of another mirror");
        mirror = owner;
    }

    private Mirror mirror() {
        return Objects.requireNonNull(mirror);
    }

    final RegionMap copied() {
        return copied;
    }

    final boolean goesOn() {
        return goesOn;
    }

    /** True if changes of these regions may go to the sides now. */
    boolean admits(long from, long end) {
        return failure != null || firm.nextSet(from) >= end;
    }

    /** Keeps a change until its mark is durable. */
    final void park(Change change) {
        Change last = lastParked;
        change.nextWaiting = null;
        if (last == null) {
            firstParked = change;
        } else {
            last.nextWaiting = change;
        }
        lastParked = change;
        if (!syncing) {
            sync();
        }
    }

    /** A change is about to go to a side. */
    void begin(long from, long end) {
        open.set(from, end);
        touched.set(from, end);
        touchedSinceCheckpoint.set(from, end);
        candidates.clear(from, end);
        if (tickTimer == null) {
            armTick();
        }
    }

    /** A region has been copied. */
    final void copiedNow() {
        if (checkpointTimer == null) {
            armCheckpoint();
        }
    }

    /** The target may have lost what was not flushed: what is not firm is not in step any more. */
    void forgetUnflushed() {
        candidates.clear(0, regions);
        for (int word = 0; word < copied.words(); word++) {
            copied.word(word, copied.word(word) & firm.word(word) & firmWanted.word(word));
        }
    }

    /** Nothing is kept any more, and nobody waits. The mirror has nothing in flight, or its move is over. */
    final void close() {
        if (closed) {
            return;
        }
        closed = true;
        cancel(tickTimer);
        cancel(checkpointTimer);
        tickTimer = null;
        checkpointTimer = null;
        if (failure == null) {
            failure = BlockError.of(ErrorKind.CLOSED, "record of regions", "mark", "the move is over");
        }
        releaseAll();
    }

    private static void cancel(Loop.@Nullable Timer timer) {
        if (timer != null) {
            timer.cancel();
        }
    }

    /** These are not in step, whatever was thought of them. */
    final void spoil(long from, long end) {
        candidates.clear(from, end);
        firmWanted.clear(from, end);
        if (staged && !syncing && failure == null) {
            sync();
        }
    }

    /** Closes every region in which nothing is in flight, so that the next process finds all in step that is. */
    public void settle() {
        touched.clear(0, regions);
        touchInFlight(touched);
        for (int word = 0; word < open.words(); word++) {
            open.word(word, open.word(word) & touched.word(word));
        }
    }

    /** Regions that are firm now, 64 to a word: those that were not written of late. */
    public long[] firmNow() {
        long[] words = new long[firm.words()];
        for (int word = 0; word < words.length; word++) {
            words[word] = firm.word(word) & firmWanted.word(word);
        }
        return words;
    }

    /** Why the record is not kept any more, or null. */
    public @Nullable BlockError failure() {
        return failure;
    }

    // ---- marks

    private void sync() {
        if (failure != null) {
            releaseAll();
            return;
        }
        firstMarking = firstParked;
        firstParked = null;
        lastParked = null;
        for (Change change = firstMarking; change != null; change = change.nextWaiting) {
            firmWanted.clear(markFrom(change), markEnd(change));
        }
        syncing = true;
        staged = false;
        store.sync(synced);
    }

    private long markFrom(Change change) {
        return mirror().regionAt(change.offset) & -settings.markRegions();
    }

    private long markEnd(Change change) {
        long mask = settings.markRegions() - 1L;
        return Math.min(regions, (mirror().regionAt(change.end() - 1) | mask) + 1);
    }

    private void synced(@Nullable BlockError error) {
        syncing = false;
        if (error != null && failure == null) {
            failure = error;
            mirror().recordLost(error);
        }
        Change marked = firstMarking;
        firstMarking = null;
        for (Change change = marked; change != null; change = change.nextWaiting) {
            isClear(markFrom(change), markEnd(change));
        }
        if (failure != null) {
            release(marked);
            releaseAll();
            return;
        }
        if (firstParked != null || staged) {
            sync();
        }
        release(marked);
    }

    /** These were cleared durably; but for one beside that was changed, another may have become firm meanwhile. */
    private void isClear(long from, long end) {
        for (long region = firm.nextSet(from); region < end; region = firm.nextSet(region + 1)) {
            if (!firmWanted.has(region)) {
                firm.clear(region, region + 1);
            }
        }
    }

    private void releaseAll() {
        Change parked = firstParked;
        firstParked = null;
        lastParked = null;
        release(parked);
    }

    private void release(@Nullable Change first) {
        Change change = first;
        while (change != null) {
            Change next = change.nextWaiting;
            change.nextWaiting = null;
            mirror().again(change);
            change = next;
        }
    }

    // ---- ticks: open regions are closed

    private void armTick() {
        if (!closed) {
            tickTimer = loop.schedule(settings.tickNanos(), tick);
            if (checkpointTimer == null) {
                armCheckpoint();
            }
        }
    }

    private void tick() {
        tickTimer = null;
        touchInFlight(touched);
        for (int word = 0; word < open.words(); word++) {
            open.word(word, open.word(word) & touched.word(word));
        }
        touched.clear(0, regions);
        if (open.count() > 0) {
            armTick();
        }
    }

    void touchInFlight(RegionMap map) {
        for (Change change = mirror().firstChange(); change != null; change = change.next) {
            map.set(mirror().regionAt(change.offset), mirror().regionAt(change.end() - 1) + 1);
        }
    }

    // ---- checkpoints: regions become firm

    private void armCheckpoint() {
        if (!closed && failure == null) {
            checkpointTimer = loop.schedule(settings.checkpointNanos(), checkpoint);
        }
    }

    private void checkpoint() {
        checkpointTimer = null;
        if (failure != null) {
            return;
        }
        if (mirror().attached() && !flushing) {
            touchInFlight(touchedSinceCheckpoint);
            for (int word = 0; word < copied.words(); word++) {
                candidates.word(word, copied.word(word) & ~firm.word(word) & ~touchedSinceCheckpoint.word(word));
            }
            touchedSinceCheckpoint.clear(0, regions);
            if (candidates.count() > 0) {
                flushing = true;
                mirror().flushSides(this::flushed);
            }
        }
        if (copied.count() > firm.count() || open.count() > 0) {
            armCheckpoint();
        }
    }

    private void flushed(@Nullable BlockError error) {
        flushing = false;
        if (error == null && mirror().attached() && failure == null) {
            for (int word = 0; word < firm.words(); word++) {
                long bits = candidates.word(word) & copied.word(word);
                firm.word(word, firm.word(word) | bits);
                firmWanted.word(word, firmWanted.word(word) | bits);
            }
            if (staged && !syncing) {
                sync();
            }
        }
        candidates.clear(0, regions);
    }
}
