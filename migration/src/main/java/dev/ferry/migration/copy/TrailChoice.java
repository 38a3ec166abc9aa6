package dev.ferry.migration.copy;

import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.TrailSettings;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Decides whether a target trails: as somebody asked for it, or else by how long the target takes to answer before anything
 * is copied there: the median of nine short reads, one at a time, spread over the target so that none is answered out of a
 * cache by chance. That is the round trip which each write of the guest would be longer by.
 *
 * <p>Thread: the loop's.
 */
public final class TrailChoice implements Completion {
    /** A target that takes longer trails. */
    static final long TRAILS_FROM_NANOS = 5_000_000;

    private static final int READS = 9;
    private static final int READ_BYTES = 4096;

    private final Loop loop;
    private final Mirror mirror;
    private final BufferPool buffers;
    private final @Nullable Mirroring asked;
    private final Runnable decided;
    private final long[] nanos = new long[READS];
    private @Nullable IoBuffer buffer;
    private long begunNanos;
    private int reads;
    private boolean reading;
    private boolean again;
    private boolean measured;

    /**
     * @param asked how it is to be in any case; null: by latency
     * @param decided run when it is decided, or cannot be since the target is lost
     */
    public TrailChoice(Loop loop, Mirror mirror, BufferPool buffers, @Nullable Mirroring asked, Runnable decided) {
        this.loop = loop;
        this.mirror = mirror;
        this.buffers = buffers;
        this.asked = asked;
        this.decided = decided;
    }

    /** Begins to measure, and then decides. */
    public void start() {
        buffer = buffers.take(READ_BYTES);
        advance();
    }

    /** The median of what was measured, in hundredths; null if nothing was, or is not yet. */
    public @Nullable Double latencyMillis() {
        return measured ? Math.round(latencyNanos() / 1e4) / 1e2 : null;
    }

    private long latencyNanos() {
        return measured ? nanos[READS / 2] : 0;
    }

    private void advance() {
        again = true;
        if (reading) {
            return;
        }
        reading = true;
        while (again) {
            again = false;
            step();
        }
        reading = false;
    }

    private void step() {
        IoBuffer into = buffer;
        if (into == null || reads == READS) {
            end();
            return;
        }
        long size = mirror.geometry().sizeBytes();
        int length = (int) Math.min(READ_BYTES, size);
        long offset = ((size - length) / READS * reads) & -READ_BYTES;
        begunNanos = loop.nanoTime();
        mirror.readTarget(offset, into, 0, length, this);
    }

    @Override
    public void complete(@Nullable BlockError error) {
        if (error == null) {
            nanos[reads++] = loop.nanoTime() - begunNanos;
            advance();
        } else {
            end();
        }
    }

    private void end() {
        if (reads == READS) {
            Arrays.sort(nanos);
            measured = true;
        }
        IoBuffer used = buffer;
        if (used != null) {
            buffer = null;
            used.release();
        }
        if (asked == Mirroring.TRAILING || (asked == null && latencyNanos() > TRAILS_FROM_NANOS)) {
            mirror.trail(TrailSettings.DEFAULT);
        }
        decided.run();
    }
}
