package dev.ferry.migration.copy;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.Mirror;
import org.jspecify.annotations.Nullable;

/**
 * Tells the mirror of a move that goes on where its target has holes, so that what is zero on both sides, or comes from below on both,
 * needs no work.
 * Runs before the copier. A target that cannot tell is taken for data. Thread: the loop's.
 */
public final class TargetHoles implements ExtentSink, Completion {
    private static final long STEP_BYTES = 1L << 30;

    private final Loop loop;
    private final Mirror mirror;
    private final Completion whenDone;
    private final long sizeBytes;
    private final Runnable ask = this::ask;
    private long position;

    /** @param whenDone completes when all is told; without error */
    public TargetHoles(Loop loop, Mirror mirror, Completion whenDone) {
        this.loop = loop;
        this.mirror = mirror;
        this.whenDone = whenDone;
        this.sizeBytes = mirror.geometry().sizeBytes();
    }

    public void start() {
        loop.execute(ask);
    }

    private void ask() {
        long length = Math.min(STEP_BYTES, sizeBytes - position);
        if (mirror.belowBytes() > 0) {
            mirror.targetOwnExtents(position, length, this, this);
        } else {
            mirror.targetExtents(position, length, this, this);
        }
    }

    @Override
    public void extent(long offset, long length, int state) {
        long end = offset + length;
        long split = Math.clamp(mirror.belowBytes(), offset, end);
        if (split > offset && state == HOLE) {
            mirror.targetHole(offset, split - offset);
        }
        if (end > split && state != 0) {
            mirror.targetHole(split, end - split);
        }
        position = end;
    }

    @Override
    public void complete(@Nullable BlockError error) {
        if (error != null || position >= sizeBytes) {
            whenDone.complete(null);
        } else {
            loop.execute(ask);
        }
    }
}
