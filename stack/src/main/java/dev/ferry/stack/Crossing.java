package dev.ferry.stack;

import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.filter.Gate;
import dev.ferry.filter.mirror.Mirror;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A disk on its way from one side to the other: its requests are held back, those in flight end, both sides are made
 * durable; then it waits to be told to pass, or to go back. Several disks, on loops of their own, may be brought to rest
 * at the same time and pass by one decision.
 *
 * <p>Thread: one of the control plane. Only {@link #awaitRest} takes long, and has a bound.
 */
public final class Crossing {
    /** How long a guest's requests are held back at most, for what has to be done while nothing moves. */
    static final long REST_NANOS_MAX = 1_000_000_000L;

    /** What makes a switch a fact. */
    @FunctionalInterface
    public interface Decision {
        /** Returns when it is durable that the target is the disk. */
        void record() throws BlockException;
    }

    /**
     * How long a guest's requests were held back at the switch, in nanoseconds, and what for.
     *
     * @param drainNanos until what was in flight had ended
     * @param flushNanos until both sides were durable, and before that in step where they had not been
     * @param decisionNanos until the decision was, and the other disks of its group
     * @param totalNanos until requests went on, on the target
     */
    public record Pause(long drainNanos, long flushNanos, long decisionNanos, long totalNanos) {}

    private final LiveMirror live;
    private final Gate gate;
    private final Loop loop;
    private final Consumer<Completion> lastStep;
    private final long boundNanos;
    private final CompletableFuture<Boolean> inStep = new CompletableFuture<>();
    /** On the loop. */
    private long begunNanos;

    private long drainedNanos;
    private long durableNanos;

    private Crossing(LiveMirror live, Consumer<Completion> lastStep, long boundNanos) {
        this.live = live;
        this.lastStep = lastStep;
        this.boundNanos = boundNanos;
        this.gate = live.disk().gate();
        this.loop = live.disk().loop().loop();
    }

    static Crossing begin(LiveMirror live, Consumer<Completion> lastStep, long boundNanos) throws BlockException {
        Crossing crossing = new Crossing(live, lastStep, boundNanos);
        try {
            crossing.loop.execute(crossing::hold);
        } catch (RejectedExecutionException e) {
            throw live.failure(ErrorKind.CLOSED, "the disk's loop has ended");
        }
        return crossing;
    }

    /** On the loop. */
    private void hold() {
        begunNanos = loop.nanoTime();
        gate.quiesce(() -> {
            drainedNanos = loop.nanoTime();
            lastStep.accept(error -> {
                if (error == null) {
                    flush();
                } else {
                    inStep.completeExceptionally(error.toException());
                }
            });
        });
    }

    private void flush() {
        Mirror mirror = live.mirror();
        mirror.settle(error -> {
            durableNanos = loop.nanoTime();
            if (error != null) {
                inStep.completeExceptionally(error.toException());
            } else {
                inStep.complete(mirror.attached() && mirror.pendingBytes() == 0);
            }
        });
    }

    /**
     * Waits until nothing is in flight and both sides are durable and equal.
     *
     * @throws BlockException of kind {@link ErrorKind#TIMED_OUT} if the disk did not come to rest; {@link
     *     ErrorKind#UNAVAILABLE} if the target is not in step; else what the flush failed with
     */
    public void awaitRest() throws BlockException {
        if (!live.inTime(inStep, boundNanos)) {
            throw live.failure(ErrorKind.UNAVAILABLE, "the target is not in step");
        }
    }

    /** The guest goes on through the mirror as if nothing had been. */
    public void giveUp() throws BlockException {
        OnLoop.run(loop, gate::resume);
    }

    /** After the decision: the guest goes on on the target. Does not wait for it. */
    public CompletableFuture<Pause> pass() {
        return pass(null);
    }

    /**
     * The same, and what the guest changes from then on goes to the source too.
     *
     * @param back the mirror, {@link LiveMirror#turned}; null: the source is left alone
     */
    public CompletableFuture<Pause> pass(@Nullable LiveMirror back) {
        CompletableFuture<Pause> passed = new CompletableFuture<>();
        DiskSide target = live.target();
        Mirror mirror = live.mirror();
        loop.execute(() -> {
            gate.replace(back == null ? target.device() : back.mirror());
            long now = loop.nanoTime();
            gate.resume();
            live.disk().movedTo(target);
            mirror.detach(idle -> {});
            passed.complete(new Pause(
                    drainedNanos - begunNanos,
                    durableNanos - drainedNanos,
                    now - durableNanos,
                    loop.nanoTime() - begunNanos));
        });
        return passed;
    }
}
