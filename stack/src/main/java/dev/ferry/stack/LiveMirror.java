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
import dev.ferry.filter.mirror.StepMap;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A mirror in the stack of a disk that is in use: put in, taken out, or gone through to the other side ({@link Crossing}),
 * live.
 *
 * <p>Each of these holds the guest's requests back at the gate for as long as those in flight take to end. One that does
 * not come to rest in time is left as it was.
 *
 * <p>Thread: one of the control plane; calls block.
 */
public final class LiveMirror {
    private static final long LOOK_AGAIN_NANOS = 5_000_000;

    private final OpenDisk disk;
    private final DiskSide source;
    private final Mirror mirror;
    private @Nullable DiskSide target;

    private LiveMirror(OpenDisk disk, DiskSide source, @Nullable DiskSide target, Mirror mirror) {
        this.disk = disk;
        this.source = source;
        this.target = target;
        this.mirror = mirror;
    }

    /** A mirror without a record. */
    public static LiveMirror insert(OpenDisk disk, DiskSide target, MirrorSettings settings, MirrorListener listener)
            throws BlockException {
        return insert(disk, target, settings, listener, null);
    }

    /**
     * Puts a mirror into the stack.
     *
     * @param target on the disk's loop, of the disk's size; stays the property of the caller until the switch. Null: there
     *     is none yet, and what the guest changes is recorded until {@link #attach}
     * @param steps the record of what is in step, if one is kept
     */
    public static LiveMirror insert(
            OpenDisk disk,
            @Nullable DiskSide target,
            MirrorSettings settings,
            MirrorListener listener,
            @Nullable StepMap steps)
            throws BlockException {
        return insert(disk, target, settings, listener, steps, Mirror::new);
    }

    /** Makes the mirror itself; on the loop. */
    @FunctionalInterface
    public interface Maker {
        Mirror make(
                Loop loop,
                BlockDevice source,
                @Nullable BlockDevice target,
                MirrorSettings settings,
                MirrorListener listener,
                @Nullable StepMap steps);
    }

    /** The same, with a mirror of another kind. */
    public static LiveMirror insert(
            OpenDisk disk,
            @Nullable DiskSide target,
            MirrorSettings settings,
            MirrorListener listener,
            @Nullable StepMap steps,
            Maker maker)
            throws BlockException {
        BlockDevice source = disk.side().device();
        BlockDevice other = target == null ? null : target.device();
        Mirror mirror = OnLoop.get(
                disk.loop().loop(), () -> maker.make(disk.loop().loop(), source, other, settings, listener, steps));
        LiveMirror live = new LiveMirror(disk, disk.side(), target, mirror);
        live.exchange(mirror);
        return live;
    }

    /**
     * The same, without a record, made at the instant when nothing is in flight: what is known of the disk by then is all there is to
     * know.
     */
    static LiveMirror insertAtRest(
            OpenDisk disk, DiskSide target, MirrorSettings settings, MirrorListener listener, Maker maker)
            throws BlockException {
        BlockDevice source = disk.side().device();
        Loop loop = disk.loop().loop();
        Gate gate = disk.gate();
        CompletableFuture<Mirror> made = new CompletableFuture<>();
        OnLoop.run(
                loop,
                () -> gate.quiesce(() -> {
                    Mirror mirror = maker.make(loop, source, target.device(), settings, listener, null);
                    gate.replace(mirror);
                    gate.resume();
                    made.complete(mirror);
                }));
        return new LiveMirror(disk, disk.side(), target, OnLoop.join(made));
    }

    /**
     * Makes the mirror that runs the other way, for {@link Crossing#pass(LiveMirror)}: what the guest changes on the target
     * goes to the source too. Until then it is not in the stack, and does nothing.
     *
     * @param steps begins with every region in step
     */
    public LiveMirror turned(MirrorSettings settings, MirrorListener listener, StepMap steps) throws BlockException {
        DiskSide there = target();
        Mirror back = OnLoop.get(
                disk.loop().loop(),
                () -> new Mirror(disk.loop().loop(), there.device(), source.device(), settings, listener, steps));
        return new LiveMirror(disk, there, source, back);
    }

    /** The mirror; touched on the loop only. */
    public Mirror mirror() {
        return mirror;
    }

    OpenDisk disk() {
        return disk;
    }

    /** The target, once there is one. */
    public DiskSide target() {
        return Objects.requireNonNull(target);
    }

    /** True if there is a target, attached or let go. */
    public boolean hasTarget() {
        return target != null;
    }

    /**
     * Takes up a target, the first or one in place of another, which has been closed.
     *
     * @param keepsUnflushed as {@link Mirror#reattach} has it
     */
    public void attach(DiskSide side, boolean keepsUnflushed) throws BlockException {
        target = side;
        OnLoop.run(disk.loop().loop(), () -> mirror.reattach(side.device(), keepsUnflushed));
    }

    /**
     * Waits until a target that was let go has answered what it was asked.
     *
     * @param limitNanos how long to wait
     * @return requests that it has not answered by then; 0 if it was not let go
     */
    public int unanswered(long limitNanos) throws BlockException {
        Loop loop = disk.loop().loop();
        for (long looks = limitNanos / LOOK_AGAIN_NANOS; ; looks--) {
            int inFlight = OnLoop.get(loop, () -> mirror.attached() ? 0 : mirror.targetInFlight());
            if (inFlight == 0 || looks <= 0) {
                return inFlight;
            }
            LockSupport.parkNanos(LOOK_AGAIN_NANOS);
        }
    }

    /** Closes a target that was let go and has nothing in flight, in order that another can be attached. */
    public void closeTarget() throws BlockException {
        DiskSide side = target;
        target = null;
        if (side != null) {
            side.close();
        }
    }

    /** Begins to put the guest on the target, which is in step. */
    public Crossing cross() throws BlockException {
        return Crossing.begin(this, done -> done.complete(null), Crossing.REST_NANOS_MAX);
    }

    /**
     * Begins to put the guest on the target, which has yet to be brought into step.
     *
     * @param lastStep what is left to do when nothing is in flight; on the loop
     * @param boundNanos how long the guest's requests are held back at most until both sides are durable and equal
     */
    public Crossing cross(Consumer<Completion> lastStep, long boundNanos) throws BlockException {
        return Crossing.begin(this, lastStep, boundNanos);
    }

    /**
     * Puts the guest on the target. Nothing is in flight and both sides are durable and equal when the decision is asked
     * for; if it fails, or anything before it, the guest goes on through the mirror as if nothing had been.
     *
     * @return how long the guest's requests were held back, and what for
     * @throws BlockException of kind {@link ErrorKind#TIMED_OUT} if the disk did not come to rest; {@link
     *     ErrorKind#UNAVAILABLE} if the target is not in step; else what the flush or the decision failed with
     */
    public Crossing.Pause switchOver(Crossing.Decision decision) throws BlockException {
        Crossing crossing = cross();
        try {
            crossing.awaitRest();
            decision.record();
        } catch (BlockException | RuntimeException e) {
            crossing.giveUp();
            throw e;
        }
        return OnLoop.join(crossing.pass());
    }

    /** After the switch: says what name the target's file has now, and closes the source. */
    public void finish(Path published) throws BlockException {
        published(published);
        source.close();
    }

    /** After the switch: says what name the target's file has now; the source is kept up by a mirror that was turned. */
    public void published(Path published) {
        target().published(published);
    }

    /** Takes the mirror out: the guest goes on on the source alone. */
    public void remove() throws BlockException {
        exchange(source.device());
    }

    /** Lets go of the target and closes it as soon as it has nothing in flight any more, which may be never. */
    public void dropTarget() throws BlockException {
        DiskSide side = target;
        OnLoop.run(
                disk.loop().loop(),
                () -> mirror.detach(idle -> {
                    if (side != null) {
                        side.device().close(closed -> {});
                    }
                }));
    }

    /**
     * Takes the mirror out, so that the guest goes on on the source alone; lets go of the target, makes durable what it was
     * given, and closes it.
     *
     * @param limitNanos how long that may take; it goes on by itself if it takes longer
     * @return whether it is done
     */
    public boolean part(long limitNanos) throws BlockException {
        boolean parted = false;
        try {
            remove();
        } finally {
            parted = partFromTarget(limitNanos);
        }
        return parted;
    }

    private boolean partFromTarget(long limitNanos) throws BlockException {
        DiskSide side = target;
        return OnLoop.await(disk.loop().loop(), limitNanos, parted -> {
            boolean keptUp = mirror.attached();
            mirror.detach(idle -> {
                if (side == null) {
                    parted.complete(null);
                } else if (keptUp) {
                    side.device().flush(error -> side.device().close(closed -> parted.complete(error)));
                } else {
                    side.device().close(parted);
                }
            });
        });
    }

    /**
     * Lets go of the target for now and closes it as soon as it has nothing in flight any more; what the guest changes from
     * then on is recorded.
     */
    public void setTargetAside() throws BlockException {
        DiskSide side = target;
        target = null;
        OnLoop.run(
                disk.loop().loop(),
                () -> mirror.setAside(idle -> {
                    if (side != null) {
                        side.device().close(closed -> {});
                    }
                }));
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
            inTime(done, Crossing.REST_NANOS_MAX);
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

    boolean inTime(CompletableFuture<Boolean> rest, long boundNanos) throws BlockException {
        try {
            return rest.get(boundNanos, TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw failure(
                    ErrorKind.TIMED_OUT,
                    "requests in flight did not end within "
                            + (boundNanos == Crossing.REST_NANOS_MAX ? "a second" : boundNanos / 1_000_000 + " ms"));
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

    BlockException failure(ErrorKind kind, String detail) {
        return BlockError.of(kind, "disk " + disk.name(), "switch", detail).toException();
    }
}
