package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.filter.Gate;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorListener;
import dev.ferry.filter.mirror.MirrorSettings;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A mirror in the stack of a disk that is in use: put in, taken out, or gone through to the other side, live.
 *
 * <p>Each of these holds the guest's requests back at the gate for as long as those in flight take to end. One that does
 * not come to rest in time is left as it was.
 *
 * <p>Thread: one of the control plane; calls block.
 */
public final class LiveMirror {
    /** How long a guest's requests are held back at most, for what has to be done while nothing moves. */
    private static final long REST_NANOS_MAX = 1_000_000_000L;

    private final OpenDisk disk;
    private final DiskSide source;
    private final DiskSide target;
    private final Mirror mirror;

    private LiveMirror(OpenDisk disk, DiskSide target, Mirror mirror) {
        this.disk = disk;
        this.source = disk.side();
        this.target = target;
        this.mirror = mirror;
    }

    /** What makes a switch a fact. */
    @FunctionalInterface
    public interface Decision {
        /** Returns when it is durable that the target is the disk. */
        void record() throws BlockException;
    }

    /**
     * Puts a mirror into the stack.
     *
     * @param target on the disk's loop, of the disk's size; stays the property of the caller until the switch
     */
    public static LiveMirror insert(OpenDisk disk, DiskSide target, MirrorSettings settings, MirrorListener listener)
            throws BlockException {
        DiskSide source = disk.side();
        Mirror mirror = OnLoop.get(
                disk.loop().loop(),
                () -> new Mirror(disk.loop().loop(), source.device(), target.device(), settings, listener));
        LiveMirror live = new LiveMirror(disk, target, mirror);
        live.exchange(mirror);
        return live;
    }

    /** The mirror; touched on the loop only. */
    public Mirror mirror() {
        return mirror;
    }

    public DiskSide target() {
        return target;
    }

    /**
     * Puts the guest on the target. Nothing is in flight and both sides are durable and equal when the decision is asked
     * for; if it fails, or anything before it, the guest goes on through the mirror as if nothing had been.
     *
     * @return how long the guest's requests were held back, and what for
     * @throws BlockException of kind {@link ErrorKind#TIMED_OUT} if the disk did not come to rest; {@link
     *     ErrorKind#UNAVAILABLE} if the target is not in step; else what the flush or the decision failed with
     */
    public Pause switchOver(Decision decision) throws BlockException {
        Gate gate = disk.gate();
        Loop loop = disk.loop().loop();
        CompletableFuture<Boolean> flushed = new CompletableFuture<>();
        AtomicLong drained = new AtomicLong();
        AtomicLong durable = new AtomicLong();
        long before = OnLoop.get(loop, () -> {
            long now = loop.nanoTime();
            gate.quiesce(() -> flushBoth(drained, error -> {
                durable.set(loop.nanoTime());
                if (error != null) {
                    flushed.completeExceptionally(error.toException());
                } else {
                    flushed.complete(mirror.attached() && mirror.pendingBytes() == 0);
                }
            }));
            return now;
        });
        try {
            if (!inTime(flushed)) {
                throw failure(ErrorKind.UNAVAILABLE, "the target is not in step");
            }
            decision.record();
        } catch (BlockException | RuntimeException e) {
            OnLoop.run(loop, gate::resume);
            throw e;
        }
        long decided = loop.nanoTime();
        return OnLoop.get(loop, () -> {
            gate.replace(target.device());
            gate.resume();
            Pause pause = new Pause(
                    drained.get() - before,
                    durable.get() - drained.get(),
                    decided - durable.get(),
                    loop.nanoTime() - before);
            disk.movedTo(target);
            mirror.detach(idle -> {});
            return pause;
        });
    }

    private void flushBoth(AtomicLong drained, Completion completion) {
        drained.set(disk.loop().loop().nanoTime());
        mirror.flush(completion);
    }

    /**
     * How long a guest's requests were held back at the switch, in nanoseconds, and what for.
     *
     * @param drainNanos until what was in flight had ended
     * @param flushNanos until both sides were durable
     * @param decisionNanos until the decision was
     * @param totalNanos until requests went on, on the target
     */
    public record Pause(long drainNanos, long flushNanos, long decisionNanos, long totalNanos) {}

    /** After the switch: says what name the target's file has now, and closes the source. */
    public void finish(Path published) throws BlockException {
        target.published(published);
        source.close();
    }

    /** Takes the mirror out: the guest goes on on the source alone. */
    public void remove() throws BlockException {
        exchange(source.device());
    }

    /** Lets go of the target and closes it as soon as it has nothing in flight any more, which may be never. */
    public void dropTarget() throws BlockException {
        OnLoop.run(
                disk.loop().loop(), () -> mirror.detach(idle -> target.device().close(closed -> {})));
    }

    private void exchange(BlockDevice other) throws BlockException {
        Gate gate = disk.gate();
        CompletableFuture<Boolean> done = new CompletableFuture<>();
        OnLoop.run(
                disk.loop().loop(),
                () -> gate.quiesce(() -> {
                    gate.replace(other);
                    gate.resume();
                    done.complete(true);
                }));
        try {
            inTime(done);
        } catch (BlockException e) {
            boolean late = OnLoop.get(disk.loop().loop(), () -> {
                if (gate.quiesced()) {
                    gate.resume();
                }
                return gate.next() == other;
            });
            if (!late) {
                throw e;
            }
        }
    }

    private boolean inTime(CompletableFuture<Boolean> rest) throws BlockException {
        try {
            return rest.get(REST_NANOS_MAX, TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw failure(ErrorKind.TIMED_OUT, "requests in flight did not end within a second");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw failure(ErrorKind.CANCELLED, "interrupted");
        } catch (ExecutionException e) {
            if (e.getCause() instanceof BlockException failed) {
                throw failed;
            }
            throw new IllegalStateException("a command on a loop failed", e);
        }
    }

    private BlockException failure(ErrorKind kind, String detail) {
        return BlockError.of(kind, "disk " + disk.name(), "switch", detail).toException();
    }
}
