package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Invariant;
import dev.ferry.block.Loop;
import dev.ferry.image.qcow2.Qcow2Device;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * Has an overlay take over what lies below it, from the beginning of the disk to its end, while a guest works on it.
 *
 * <p>What is zeroes below stays a hole of the overlay, unless something is to lie below it afterwards too: then zeroes are hidden.
 * Thread: the loop's.
 */
public final class Populator implements Paced {
    private static final int RUNS_MAX = 64 * 1024;
    private static final long WINDOW_BYTES = 256L << 20;
    private static final long ZERO_BYTES_MAX = 1L << 30;

    private final Loop loop;
    private final Qcow2Device overlay;
    private final BlockDevice below;
    private final boolean hides;
    private final long clusterBytes;
    private final long endBytes;
    private final ArrayDeque<Run> runs = new ArrayDeque<>();
    private final TokenBucket bucket;
    private final TokenBucket paceBucket;
    private final Runnable wake = this::wake;
    private int depth = 4;
    private int chunkBytes = 1 << 20;
    private int inFlight;
    private long mappedTo;
    private boolean mapping;
    private boolean pumping;
    private boolean pumpAgain;
    private long workedBytes;
    private long doneTo;
    private @Nullable BlockError failure;
    private @Nullable Completion whenDone;
    private Loop.@Nullable Timer timer;

    /** Some of the disk, in whole clusters. */
    private static final class Run {
        private long offset;
        private final long end;
        private final boolean zero;

        Run(long offset, long end, boolean zero) {
            this.offset = offset;
            this.end = end;
            this.zero = zero;
        }
    }

    /**
     * @param below what is to be taken over, asked for its extents only; what of it is a hole and no zero stays below
     * @param hides zeroes are to be hidden
     */
    public Populator(Loop loop, Qcow2Device overlay, BlockDevice below, boolean hides, long bytesPerSecond) {
        this.loop = loop;
        this.overlay = overlay;
        this.below = below;
        this.hides = hides;
        this.clusterBytes = overlay.clusterBytes();
        this.endBytes =
                Math.min(overlay.geometry().sizeBytes(), below.geometry().sizeBytes());
        this.bucket = new TokenBucket(bytesPerSecond, loop.nanoTime());
        this.paceBucket = new TokenBucket(0, loop.nanoTime());
    }

    /** @param completion with null when all has been taken over; {@link ErrorKind#CANCELLED} after {@link #stop} */
    public void start(Completion completion) {
        Invariant.that(whenDone == null, "a populator is used once");
        whenDone = completion;
        pump();
    }

    /** What was begun is finished, and then it ends. */
    public void stop() {
        if (failure == null) {
            failure = BlockError.of(ErrorKind.CANCELLED, "the overlay", "populate", "stopped");
        }
        pump();
    }

    /** @param bytesPerSecond 0: no bound */
    public void rate(long bytesPerSecond) {
        bucket.rate(bytesPerSecond, loop.nanoTime());
        pump();
    }

    @Override
    public void effort(int newDepth, int newChunkBytes) {
        depth = newDepth;
        chunkBytes = newChunkBytes;
        pump();
    }

    @Override
    public void pace(long bytesPerSecond) {
        paceBucket.rate(bytesPerSecond, loop.nanoTime());
        pump();
    }

    @Override
    public long workedBytes() {
        return workedBytes;
    }

    /** How far in the disk it is, in bytes. */
    public long doneBytes() {
        return doneTo;
    }

    public long totalBytes() {
        return endBytes;
    }

    private void wake() {
        timer = null;
        pump();
    }

    private void pump() {
        if (pumping) {
            pumpAgain = true;
            return;
        }
        pumping = true;
        do {
            pumpAgain = false;
            advance();
        } while (pumpAgain);
        pumping = false;
    }

    private void advance() {
        Completion end = whenDone;
        if (end == null) {
            return;
        }
        while (failure == null && inFlight < depth && !runs.isEmpty() && !heldBack()) {
            submit(runs.getFirst());
        }
        if (failure == null && runs.isEmpty() && !mapping && mappedTo < endBytes) {
            map();
        }
        boolean all = runs.isEmpty() && mappedTo >= endBytes;
        if (inFlight == 0 && !mapping && (failure != null || all)) {
            whenDone = null;
            Loop.Timer waiting = timer;
            if (waiting != null) {
                waiting.cancel();
                timer = null;
            }
            doneTo = failure == null ? endBytes : doneTo;
            end.complete(failure);
        }
    }

    private boolean heldBack() {
        long now = loop.nanoTime();
        long wait = Math.max(bucket.waitNanos(now), paceBucket.waitNanos(now));
        if (wait > 0 && timer == null) {
            timer = loop.schedule(wait, wake);
        }
        return wait > 0;
    }

    private void submit(Run run) {
        long most = run.zero ? ZERO_BYTES_MAX : Math.max(clusterBytes, chunkBytes & -clusterBytes);
        long offset = run.offset;
        long length = Math.min(most, run.end - offset);
        run.offset += length;
        if (run.offset == run.end) {
            runs.removeFirst();
        }
        if (!run.zero) {
            bucket.take(length);
            paceBucket.take(length);
        }
        inFlight++;
        overlay.populate(offset, length, run.zero, error -> {
            inFlight--;
            if (error != null && failure == null) {
                failure = error;
            }
            workedBytes += run.zero ? 0 : length;
            doneTo = Math.max(doneTo, offset);
            pump();
        });
    }

    private void map() {
        mapping = true;
        long offset = mappedTo;
        ExtentSink sink = (at, length, state) -> {
            mappedTo = at + length;
            if (state == ExtentSink.HOLE || ((state & ExtentSink.ZERO) != 0 && !hides)) {
                return;
            }
            add(at, at + length, state != 0);
        };
        below.extents(offset, Math.min(WINDOW_BYTES, endBytes - offset), sink, error -> {
            mapping = false;
            if (error != null && failure == null) {
                failure = error;
            }
            Invariant.that(error != null || mappedTo > offset, "extents that lead nowhere");
            doneTo = runs.isEmpty() ? Math.max(doneTo, mappedTo) : doneTo;
            pump();
        });
    }

    /** Where a cluster is zeroes in part only it is taken over as a whole. */
    private void add(long from, long to, boolean zero) {
        long outerFrom = from & -clusterBytes;
        long outerTo = Math.min(overlay.geometry().sizeBytes(), (to + clusterBytes - 1) & -clusterBytes);
        if (!zero) {
            runs.add(new Run(outerFrom, outerTo, false));
            return;
        }
        long innerFrom = (from + clusterBytes - 1) & -clusterBytes;
        long innerTo = to == overlay.geometry().sizeBytes() ? to : to & -clusterBytes;
        if (innerFrom > outerFrom) {
            runs.add(new Run(outerFrom, Math.min(innerFrom, outerTo), false));
        }
        if (innerTo > innerFrom) {
            runs.add(new Run(innerFrom, innerTo, true));
        }
        if (innerTo >= innerFrom && outerTo > innerTo) {
            runs.add(new Run(innerTo, outerTo, false));
        }
        Invariant.that(runs.size() <= RUNS_MAX, "runs of a populator");
    }
}
