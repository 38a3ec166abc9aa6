package dev.ferry.migration.copy;

import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.Mirror;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * Proves that both sides of a mirror hold the same bytes, while the guest writes: reads each region from both under a lock
 * of that region, and compares and digests them on other threads. What is equal once stays equal, for the mirror keeps
 * it so. A range that both sides call zeroes is not read, and does not count against the rate.
 *
 * <p>The digest is a tree: SHA-256 over the SHA-256 of each region, in order. Thread: the loop's.
 */
public final class Verifier implements Paced {
    private static final double PACE_BURST_SECONDS = 0.01;

    private final Loop loop;
    private final Mirror mirror;
    private final BufferPool buffers;
    private final Executor workers;
    private final VerifierSettings settings;
    private final @Nullable Proof proof;
    private final MessageDigest sourceTree;
    private final MessageDigest targetTree;
    private final List<VerifySlot> slots = new ArrayList<>();
    private final List<VerifySlot> repeats = new ArrayList<>();
    private final List<DifferingRange> differences = new ArrayList<>();
    private final TokenBucket bucket;
    private final TokenBucket paceBucket;
    private final Runnable turn = this::turn;
    private final Runnable wake = this::wake;

    private Loop.@Nullable Timer timer;
    private @Nullable VerifyListener listener;
    private @Nullable BlockError failure;
    private boolean turnDue;
    private boolean partial;
    private int depth;
    private long readBytes;
    /** The first region that has not been looked at, and how many have been begun, and folded in. */
    private long next;

    private long begun;
    private long folded;
    private long verifiedBytes;

    /** @param workers where comparing and digesting is done; it must not be the loop if the loop is not to stall */
    public Verifier(Loop loop, Mirror mirror, BufferPool buffers, Executor workers, VerifierSettings settings) {
        this(loop, mirror, buffers, workers, settings, null);
    }

    /**
     * One round of a comparison in rounds: looks at what is left to compare and is in step, and passes over the rest.
     *
     * @param proof null: every region is compared, and the comparison fails if one is pending
     */
    public Verifier(
            Loop loop,
            Mirror mirror,
            BufferPool buffers,
            Executor workers,
            VerifierSettings settings,
            @Nullable Proof proof) {
        this.proof = proof;
        this.sourceTree = proof == null ? RegionDigest.sha256() : proof.sourceTree;
        this.targetTree = proof == null ? RegionDigest.sha256() : proof.targetTree;
        this.loop = loop;
        this.mirror = mirror;
        this.buffers = buffers;
        this.workers = workers;
        this.settings = settings;
        this.bucket = new TokenBucket(0, loop.nanoTime());
        this.paceBucket = new TokenBucket(0, PACE_BURST_SECONDS, loop.nanoTime());
        this.depth = settings.depth();
    }

    /** Before the start: what is not copied is left out, and no reason to fail. */
    public void onlyCopied() {
        partial = true;
    }

    /** Begins. Every region should be copied; one that is not fails the verification with {@link ErrorKind#BUSY}. */
    public void start(VerifyListener whenDone) {
        Invariant.that(listener == null && begun == 0, "verifier started twice");
        listener = whenDone;
        for (int i = 0; i < settings.depth(); i++) {
            IoBuffer sourceBytes = buffers.take(mirror.regionBytes());
            IoBuffer targetBytes = sourceBytes == null ? null : buffers.take(mirror.regionBytes());
            if (sourceBytes != null && targetBytes != null) {
                slots.add(new VerifySlot(this, mirror, sourceBytes, targetBytes));
            } else if (sourceBytes != null) {
                sourceBytes.release();
            }
        }
        if (slots.isEmpty()) {
            fail(BlockError.of(ErrorKind.NO_MEMORY, "verifier", "verify", "no buffers are free"));
        }
        schedule();
    }

    /** Ends the verification early: the listener hears {@link ErrorKind#CANCELLED} when nothing of it is in flight. */
    public void stop() {
        if (listener != null) {
            fail(BlockError.of(ErrorKind.CANCELLED, "verifier", "verify", "stopped"));
            schedule();
        }
    }

    /**
     * Bounds the bytes that are read of each side.
     *
     * @param bytesPerSecond 0: no bound
     */
    public void rate(long bytesPerSecond) {
        Invariant.that(bytesPerSecond >= 0, "rate of a verifier");
        bucket.rate(bytesPerSecond, loop.nanoTime());
        cancelTimer();
        schedule();
    }

    @Override
    public void effort(int regions, int requestBytes) {
        // Where regions are small there are more of them at once, so that as much is in flight.
        depth = regions * Math.max(1, requestBytes / mirror.regionBytes());
        schedule();
    }

    @Override
    public void pace(long bytesPerSecond) {
        paceBucket.rate(bytesPerSecond, loop.nanoTime());
        cancelTimer();
        schedule();
    }

    @Override
    public long workedBytes() {
        return readBytes;
    }

    /** Bytes compared so far. */
    public long verifiedBytes() {
        return verifiedBytes;
    }

    // ---- what slots tell

    void compute(Runnable work) {
        workers.execute(work);
    }

    void onLoop(Runnable command) {
        loop.execute(command);
    }

    void reads(long bytes) {
        bucket.take(bytes);
        paceBucket.take(bytes);
        readBytes += bytes;
    }

    /** The disks are free for the next region, while the bytes of this one are compared. */
    void released() {
        schedule();
    }

    void compared() {
        schedule();
    }

    void again(VerifySlot slot) {
        repeats.add(slot);
        schedule();
    }

    void failed(VerifySlot slot, BlockError why) {
        slot.free();
        fail(why);
        schedule();
    }

    private void fail(BlockError why) {
        if (failure == null) {
            failure = why;
        }
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

    private void cancelTimer() {
        Loop.Timer waiting = timer;
        if (waiting != null) {
            waiting.cancel();
            timer = null;
        }
    }

    private void turn() {
        turnDue = false;
        if (listener == null) {
            return;
        }
        fold();
        if (failure != null) {
            repeats.forEach(VerifySlot::free);
            repeats.clear();
            giveUpIfIdle();
            return;
        }
        if (nextRegion() == mirror.regions() && folded == begun) {
            finish();
            return;
        }
        for (VerifySlot slot : List.copyOf(repeats)) {
            repeats.remove(slot);
            slot.repeat();
        }
        // Slots that end inline ask for another turn, so that the rest of the loop has its own.
        int active = 0;
        for (VerifySlot slot : slots) {
            if (slot.atItsDisks()) {
                active++;
            }
        }
        for (VerifySlot slot : slots) {
            if (active < depth && slot.isFree() && failure == null && nextRegion() < mirror.regions() && mayBegin()) {
                active++;
                slot.verify(next++, begun++);
            }
        }
    }

    /** @return the number of regions if there is none left */
    private long nextRegion() {
        while (partial && next < mirror.regions() && !mirror.copied(next)) {
            next++;
        }
        Proof rounds = proof;
        while (rounds != null && next < mirror.regions()) {
            long unproved = rounds.unproved.nextDirty(mirror.regionOffset(next));
            next = unproved == rounds.unproved.sizeBytes() ? mirror.regions() : unproved / mirror.regionBytes();
            if (next == mirror.regions() || mirror.copied(next)) {
                break;
            }
            next++;
        }
        return next;
    }

    /** True if a region that is pending is passed over. */
    boolean passesOver() {
        return proof != null || partial;
    }

    /** Both sides of a region have been read, and it is still locked. */
    void wasRead(long offset, int length) {
        Proof rounds = proof;
        if (rounds != null) {
            rounds.unproved.clear(offset, length);
        }
    }

    private boolean mayBegin() {
        long now = loop.nanoTime();
        long wait = Math.max(bucket.waitNanos(now), paceBucket.waitNanos(now));
        if (wait > 0 && timer == null) {
            timer = loop.schedule(wait, wake);
        }
        return wait == 0;
    }

    /** Takes digests into the trees, in the order of regions. */
    private void fold() {
        for (int i = 0; i < slots.size(); i++) {
            VerifySlot slot = slots.get(i);
            if (slot.holdsResult(folded)) {
                if (!slot.passedOver()) {
                    sourceTree.update(slot.digest().source());
                    targetTree.update(slot.digest().target());
                    note(slot.digest().differences());
                    verifiedBytes += slot.length();
                }
                folded++;
                slot.free();
                i = -1;
            }
        }
    }

    private void note(List<DifferingRange> found) {
        for (DifferingRange range : found) {
            DifferingRange last = differences.isEmpty() ? null : differences.getLast();
            if (last != null && last.offset() + last.length() == range.offset()) {
                differences.removeLast();
                differences.add(new DifferingRange(last.offset(), last.length() + range.length()));
            } else if (differences.size() < settings.differencesMax()) {
                differences.add(range);
            }
        }
    }

    private void giveUpIfIdle() {
        for (VerifySlot slot : slots) {
            if (!slot.isFree() && !slot.hasResult()) {
                return;
            }
        }
        VerifyListener told = end();
        told.failed(Objects.requireNonNull(failure));
    }

    private void finish() {
        String source = Proof.soFar(sourceTree);
        String target = Proof.soFar(targetTree);
        VerifyListener told = end();
        told.verified(new VerifyResult(source, target, source.equals(target), differences, verifiedBytes));
    }

    private VerifyListener end() {
        cancelTimer();
        slots.forEach(VerifySlot::releaseBuffers);
        slots.clear();
        VerifyListener told = Objects.requireNonNull(listener);
        listener = null;
        return told;
    }
}
