package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * Brings a file that does not change to another one: copied, made durable, both read and compared if that is wanted. Or only compares
 * with one that is there. It is the mirror's copier and verifier that do it, with a guest that never writes; beside a guest that does
 * work, on another disk of the same loop, they step back for it.
 *
 * <p>Thread: the loop's.
 */
public final class FileCopy {
    private static final MirrorSettings HOW = new MirrorSettings(1 << 20, 30_000_000_000L, true);

    /** Hears how it ended: one of them, once, on the loop. */
    public interface Ending {
        /** @param digest of all bytes, hexadecimal; null if they were not compared */
        void equal(@Nullable String digest);

        void differs(DifferingRange first);

        /** @param ofTarget it is the target that failed, and not the source; after {@link #stop} neither did */
        void failed(BlockError why, boolean ofTarget);
    }

    private final Loop loop;
    private final BufferPool buffers;
    private final Executor workers;
    private final PaceController controller;
    private final Ending ending;
    private final Mirror mirror;
    private final Copier copier;
    private @Nullable Verifier verifier;
    private @Nullable BlockError lost;
    private boolean compares;
    private boolean compareLater;
    private boolean paused;
    private boolean stopped;
    private boolean ended;
    private long bytesPerSecond;

    /**
     * @param source at rest
     * @param target at least as long; written by {@link #copy} only
     * @param workers where bytes are compared
     * @param controller listens to the guest beside which this is done
     */
    public FileCopy(
            Loop loop,
            BufferPool buffers,
            BlockDevice source,
            BlockDevice target,
            Executor workers,
            PaceController controller,
            Ending ending) {
        this.loop = loop;
        this.buffers = buffers;
        this.workers = workers;
        this.controller = controller;
        this.ending = ending;
        this.mirror = new Mirror(loop, source, target, HOW, why -> lost = why);
        this.copier = new Copier(loop, mirror, buffers, CopierSettings.DEFAULT);
    }

    /** Begins to copy to a new, empty target. */
    public void copy(boolean thenCompare) {
        compares = thenCompare;
        controller.steer(copier);
        copier.start(this::copied);
    }

    /** Begins to compare with a target that may hold the same. */
    public void compare() {
        for (long region = 0; region < mirror.regions(); region++) {
            mirror.inStep(region);
        }
        if (paused) {
            compareLater = true;
        } else {
            beginComparing();
        }
    }

    /** A comparison begins anew when it goes on. */
    public void pause() {
        paused = true;
        copier.pause();
        Verifier comparing = verifier;
        if (comparing != null) {
            compareLater = true;
            comparing.stop();
        }
    }

    public void resume() {
        paused = false;
        copier.resume();
        if (compareLater && verifier == null) {
            compareLater = false;
            beginComparing();
        }
    }

    /** @param bound in bytes a second; 0: none */
    public void rate(long bound) {
        bytesPerSecond = bound;
        copier.rate(bound);
        Verifier comparing = verifier;
        if (comparing != null) {
            comparing.rate(bound);
        }
    }

    /** Ends it early. */
    public void stop() {
        stopped = true;
        Verifier comparing = verifier;
        if (comparing != null) {
            comparing.stop();
        } else if (compareLater) {
            fail(BlockError.of(ErrorKind.CANCELLED, "copy", "compare", "stopped"));
        } else {
            copier.stop(idle -> {});
        }
    }

    /** After its end: lets go of both files; completes when the target has nothing in flight, which may be never. */
    public void detach(Completion targetIdle) {
        controller.stop();
        mirror.detach(targetIdle);
    }

    /** Of the bytes to copy, done. */
    public long doneBytes() {
        return copier.progress().doneBytes();
    }

    private void copied(@Nullable BlockError error) {
        controller.stop();
        if (error != null) {
            fail(error);
            return;
        }
        mirror.settle(flushed -> {
            if (flushed != null) {
                fail(flushed);
            } else if (stopped) {
                fail(BlockError.of(ErrorKind.CANCELLED, "copy", "flush", "stopped"));
            } else if (!compares) {
                ended = true;
                ending.equal(null);
            } else if (paused) {
                compareLater = true;
            } else {
                beginComparing();
            }
        });
    }

    private void beginComparing() {
        Verifier begun = new Verifier(loop, mirror, buffers, workers, VerifierSettings.DEFAULT);
        verifier = begun;
        begun.rate(bytesPerSecond);
        controller.steer(begun);
        begun.start(new VerifyListener() {
            @Override
            public void verified(VerifyResult result) {
                verifier = null;
                controller.stop();
                ended = true;
                if (result.equal()) {
                    ending.equal(result.sourceDigest());
                } else {
                    ending.differs(result.differences().getFirst());
                }
            }

            @Override
            public void failed(BlockError why) {
                verifier = null;
                controller.stop();
                if (stopped || !compareLater) {
                    fail(why);
                } else if (!paused) {
                    compareLater = false;
                    beginComparing();
                }
            }
        });
    }

    private void fail(BlockError why) {
        if (ended) {
            return;
        }
        ended = true;
        BlockError ofTarget = lost;
        if (stopped || ofTarget == null) {
            ending.failed(why, false);
        } else {
            ending.failed(ofTarget, true);
        }
    }
}
