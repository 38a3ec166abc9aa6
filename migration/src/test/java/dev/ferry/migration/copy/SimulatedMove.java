package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Geometry;
import dev.ferry.filter.Gate;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.PlantedBug;
import dev.ferry.filter.mirror.TrackedMirror;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import java.util.Arrays;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * One move in a simulated world, from one seed: a guest at work, a mirror put in under it, a copier that is paused, slowed
 * and hurried, a target that errs or stalls, a source that errs, a verifier, a loss of power, a cancel or a switch. Throws
 * if anything is not as it must be.
 */
final class SimulatedMove {
    private static final long MILLIS = 1_000_000L;
    private static final long SECONDS = 1000 * MILLIS;
    private static final long STALL_NANOS = 60 * MILLIS;
    private static final int REGION_BYTES = 64 << 10;
    /** What the last page of a larger target may take more. */
    private static final int PAGE_BYTES = 4096;
    /** One for all runs: memory of a pool is never given back. */
    private static final BufferPool BUFFERS = BufferPool.ofBytes(512 << 20);

    private final SplittableRandom random;
    private final SimLoop loop;
    private final int size;
    private final SimDisk source;
    private final SimDisk target;
    private final Gate gate;
    private final SimulatedGuest guest;
    private final Mirror mirror;
    /** The same, if it leaves its target behind; and what its copier copies next. */
    private final @Nullable TrackedMirror tracked;

    private final @Nullable ColdFirst agenda;
    /** What is left is little, or too much. */
    private boolean littleLeft;

    private final Copier copier;
    private final boolean sourceErrs;
    private final boolean targetErrs;
    private final boolean trails;
    private int targetsLost;
    private boolean copying;
    private @Nullable BlockError copyError;

    private SimulatedMove(long seed, PlantedBug bug) {
        random = new SplittableRandom(seed);
        loop = new SimLoop(random.nextLong());
        size = REGION_BYTES * (1 + random.nextInt(14)) + (random.nextBoolean() ? 0 : 1 + random.nextInt(REGION_BYTES));
        long latency = 20_000L << random.nextInt(4);
        source = new SimDisk("source", loop, random.nextLong(), Geometry.ofBytes(size), latency);
        long spare = random.nextInt(3) == 0 ? random.nextInt(100_000) : 0;
        target = new SimDisk("target", loop, random.nextLong(), Geometry.ofBytes(size + spare), latency);
        byte[] content = new byte[size];
        fillSource(content);
        gate = new Gate(loop, source, random.nextBoolean() ? 4096 : 1);
        guest = new SimulatedGuest(loop, gate, BUFFERS, content, random.nextLong());
        sourceErrs = random.nextInt(8) == 0;
        targetErrs = random.nextInt(4) == 0;
        boolean fresh = random.nextInt(4) > 0;
        if (!fresh) {
            byte[] stale = new byte[size];
            Arrays.fill(stale, (byte) 0x77);
            target.fill(0, stale);
        }
        if (random.nextInt(3) == 0) {
            target.offloads(4096 << random.nextInt(3), random.nextBoolean() ? 0 : random.nextInt(200_000));
        }
        MirrorSettings settings = new MirrorSettings(REGION_BYTES << random.nextInt(2), STALL_NANOS, fresh);
        CopierSettings pace = new CopierSettings(1 + random.nextInt(4), REGION_BYTES, 0);
        if (bug.ofTracked() || (bug == PlantedBug.NONE && random.nextInt(3) == 0)) {
            tracked = bug.tracked(loop, source, target, settings, why -> targetsLost++);
            mirror = tracked;
            agenda = new ColdFirst(tracked, () -> littleLeft);
            copier = new Copier(loop, mirror, BUFFERS, pace, agenda);
        } else {
            tracked = null;
            agenda = null;
            mirror = bug.mirror(loop, source, target, settings, why -> targetsLost++);
            copier = new Copier(loop, mirror, BUFFERS, pace);
        }
        trails = tracked == null && random.nextBoolean();
        if (trails) {
            mirror.trail(SimulatedTrail.bounds(random));
        }
    }

    /** Runs one seed. */
    static void run(long seed, PlantedBug bug) {
        SimulatedMove move = new SimulatedMove(seed, bug);
        try {
            move.run();
        } catch (AssertionError | RuntimeException failure) {
            String faults = (move.trails ? " with a target that trails" : "")
                    + (move.sourceErrs ? " with a source that errs" : "")
                    + (move.targetErrs ? " with a target that errs or stalls" : "");
            throw new AssertionError("seed " + seed + faults + ": " + failure.getMessage(), failure);
        }
    }

    private void fillSource(byte[] content) {
        for (int i = random.nextInt(10); i > 0; i--) {
            int from = random.nextInt(size) & -4096;
            int end = Math.min(size, from + 1 + random.nextInt(200_000));
            byte value = (byte) random.nextInt(256);
            Arrays.fill(content, from, end, value);
            source.fill(from, Arrays.copyOfRange(content, from, end));
        }
    }

    private void run() {
        guest.start(1 + random.nextInt(8));
        loop.runFor(random.nextLong(5 * MILLIS));
        stackBecomes(true);
        startCopier();
        if (sourceErrs) {
            guest.errorsExpected(true);
            source.errorsPerMillion(random.nextInt(60_000));
        }
        if (targetErrs) {
            target.errorsPerMillion(random.nextBoolean() ? random.nextInt(100_000) : 0);
            target.stallsPerMillion(random.nextBoolean() ? random.nextInt(100_000) : 0);
        }
        boolean cancel = random.nextInt(6) == 0;
        disturb();
        if (cancel) {
            cancel();
            return;
        }
        if (tracked != null && random.nextInt(4) > 0) {
            iterate(tracked, Objects.requireNonNull(agenda));
            return;
        }
        if (tracked != null) {
            tracked.follow();
            Objects.requireNonNull(agenda).untilNothingIsLeft(true);
            copier.ask();
        }
        bringToAnEnd();
        if (random.nextInt(2) == 0) {
            verify();
        }
        if (random.nextInt(3) == 0) {
            losePower();
        }
        switchOver();
    }

    // ---- steps

    private void startCopier() {
        copying = true;
        copier.start(error -> {
            copying = false;
            copyError = error;
        });
    }

    /** Turns every knob, at random instants. */
    private void disturb() {
        for (int i = random.nextInt(6); i > 0; i--) {
            loop.runFor(random.nextLong(4 * MILLIS));
            littleLeft = random.nextBoolean();
            if (tracked != null) {
                tracked.turn();
            }
            switch (random.nextInt(4)) {
                case 0 -> copier.pause();
                case 1 -> copier.resume();
                case 2 -> copier.rate(random.nextBoolean() ? 0 : 1 + random.nextInt(50_000_000));
                default -> {
                    stopCopier();
                    if (mirror.attached()) {
                        startCopier();
                    }
                }
            }
        }
    }

    private void stopCopier() {
        boolean[] idle = {false};
        copier.stop(error -> idle[0] = true);
        within(STALL_NANOS * 4, () -> idle[0], "the copier stops");
        check(!copying, "the copy has ended with its copier");
    }

    /** Until nothing is pending: with a target that comes back, and a source that heals. */
    private void bringToAnEnd() {
        copier.resume();
        copier.rate(0);
        int lostBefore = targetsLost;
        if (targetErrs) {
            loop.runUntil(() -> !mirror.attached(), loop.nanoTime() + STALL_NANOS * 2);
        }
        source.errorsPerMillion(0);
        target.errorsPerMillion(0);
        target.stallsPerMillion(0);
        check(targetsLost <= 1 && targetsLost >= lostBefore, "a target is lost once");
        long end = loop.nanoTime() + 300 * SECONDS;
        while (mirror.pendingBytes() > 0 || copying || !mirror.attached()) {
            check(loop.nanoTime() < end, "the copy comes to an end");
            if (!mirror.attached()) {
                reattach();
            }
            if (!copying) {
                BlockError why = copyError;
                boolean explained = why == null || why.kind() == ErrorKind.CANCELLED || sourceErrs || targetErrs;
                check(explained, "the copy ends without error where there is none");
                startCopier();
            }
            boolean over = loop.runUntil(() -> !copying, end);
            check(over, "the copier makes progress");
        }
        // Writes that failed before the source healed are all answered by now.
        drain();
        guest.errorsExpected(false);
        resume();
        // A flush that had stalled may have cost the target while nothing was pending.
        if (mirror.pendingBytes() > 0 || !mirror.attached()) {
            bringToAnEnd();
        }
    }

    /** Iterations and rounds of comparison beside the guest, and the last of both while it is held. */
    private void iterate(TrackedMirror mirrorBehind, ColdFirst next) {
        copier.resume();
        copier.rate(0);
        source.errorsPerMillion(0);
        target.errorsPerMillion(0);
        target.stallsPerMillion(0);
        Proof proof = null;
        for (int i = 1 + random.nextInt(5); i > 0; i--) {
            loop.runFor(random.nextLong(4 * MILLIS));
            mirrorBehind.turn();
            littleLeft = random.nextBoolean();
            if (!mirror.attached()) {
                proof = null;
                reattach();
            }
            if (!copying) {
                startCopier();
            }
            if (random.nextBoolean() && mirror.attached()) {
                if (proof == null) {
                    mirrorBehind.unproved().setAll();
                    proof = new Proof(mirrorBehind.unproved());
                }
                // What had failed on the source, or stalled on the target, may come to light yet.
                compare(proof, !sourceErrs && !targetErrs);
            }
        }
        loop.runUntil(() -> !mirror.attached(), loop.nanoTime() + (targetErrs ? STALL_NANOS * 2 : 0));
        if (!mirror.attached()) {
            proof = null;
            reattach();
        }
        if (!copying) {
            startCopier();
        }
        drain();
        guest.errorsExpected(false);
        next.untilNothingIsLeft(true);
        copier.ask();
        within(20 * SECONDS, () -> !copying, "the last of it is copied");
        if (mirror.pendingBytes() > 0 && sourceErrs) {
            // A read that failed before the source healed has ended the copy only now.
            startCopier();
            within(20 * SECONDS, () -> !copying, "the last of it is copied");
        }
        check(mirror.pendingBytes() == 0 && mirror.attached(), "nothing is left while the guest is held");
        if (proof != null) {
            compare(proof, true);
            check(proof.unprovedBytes() == 0, "all has been compared");
        }
        boolean[] flushed = {false};
        mirror.settle(error -> flushed[0] = error == null);
        within(SECONDS, () -> flushed[0], "both sides are flushed");
        switchAtRest();
    }

    private void compare(Proof proof, boolean always) {
        VerifyResult[] result = {null};
        BlockError[] failed = {null};
        VerifierSettings settings = new VerifierSettings(1 + random.nextInt(3), 8);
        new Verifier(loop, mirror, BUFFERS, loop, settings, proof).start(new VerifyListener() {
            @Override
            public void verified(VerifyResult found) {
                result[0] = found;
            }

            @Override
            public void failed(BlockError why) {
                failed[0] = why;
            }
        });
        within(60 * SECONDS, () -> result[0] != null || failed[0] != null, "a round of the comparison ends");
        check(result[0] != null || !always, "a round of the comparison does not fail");
        VerifyResult found = result[0];
        check(found == null || found.equal(), "both sides are equal where they were compared");
    }

    private void reattach() {
        check(targetsLost == 1, "the listener heard of the target");
        within(STALL_NANOS * 4, () -> !copying, "the copy ends when the target is lost");
        target.endStalls();
        within(SECONDS * 10, () -> mirror.targetInFlight() == 0, "what had stalled ends");
        targetsLost = 0;
        mirror.reattach(target, true);
    }

    private void verify() {
        BlockError why = verifyOnce();
        while (why != null) {
            check(trails && why.kind() == ErrorKind.BUSY, "verification ends well, but " + why.message());
            bringToAnEnd();
            why = verifyOnce();
        }
    }

    private @Nullable BlockError verifyOnce() {
        VerifyResult[] result = {null};
        BlockError[] failure = {null};
        Verifier verifier = new Verifier(loop, mirror, BUFFERS, loop, new VerifierSettings(1 + random.nextInt(3), 8));
        verifier.start(new VerifyListener() {
            @Override
            public void verified(VerifyResult found) {
                result[0] = found;
            }

            @Override
            public void failed(BlockError why) {
                failure[0] = why;
            }
        });
        within(60 * SECONDS, () -> result[0] != null || failure[0] != null, "verification ends");
        if (failure[0] != null) {
            return failure[0];
        }
        VerifyResult found = Objects.requireNonNull(result[0]);
        check(found.equal(), "both sides are equal, but differ in " + found.differences());
        check(found.bytes() == size, "all was verified");
        return null;
    }

    /** What the guest was told is durable is so on both sides. */
    private void losePower() {
        guest.stop();
        within(SECONDS * 20, guest::idle, "the guest's requests end");
        boolean[] flushed = {false};
        boolean bothSides = !trails || (mirror.pendingBytes() == 0 && random.nextBoolean());
        if (trails && bothSides) {
            mirror.settle(error -> flushed[0] = error == null);
        } else {
            gate.flush(error -> flushed[0] = error == null);
        }
        within(SECONDS * 20, () -> flushed[0], "the flush ends");
        source.losePower();
        guest.check(source.bytes(0, size), "the source after a loss of power");
        if (bothSides) {
            target.losePower();
            guest.check(target.bytes(0, size), "the target after a loss of power");
        }
        guest.start(3);
        loop.runFor(random.nextLong(5 * MILLIS));
    }

    private void switchOver() {
        while (!comesToRest()) {
            check(trails, "a target that does not trail is in step");
            mirror.trailAgain();
            resume();
            bringToAnEnd();
        }
        check(mirror.trailingBytes() == 0, "nothing is owed");
        switchAtRest();
    }

    private void switchAtRest() {
        check(mirror.pendingBytes() == 0 && mirror.attached(), "the target is in step");
        compareSides();
        boolean[] idle = {false};
        mirror.detach(error -> idle[0] = true);
        check(idle[0], "the target is idle once all is drained");
        target.losePower();
        guest.check(target.bytes(0, size), "the target after the switch");
        check(
                target.allocatedBytes() <= source.allocatedBytes() + PAGE_BYTES,
                "thin stays thin: " + target.allocatedBytes() + " of " + source.allocatedBytes());
        gate.replace(cut(target));
        resume();
        loop.runFor(random.nextLong(5 * MILLIS));
        finish(target);
    }

    private boolean comesToRest() {
        closeUp();
        drain();
        boolean[] flushed = {false};
        mirror.settle(error -> flushed[0] = error == null);
        within(SECONDS, () -> flushed[0], "both sides are flushed");
        return mirror.pendingBytes() == 0;
    }

    /** What a real switch begins with; a switch that does not must find the rest by itself. */
    private void closeUp() {
        if (random.nextInt(4) > 0) {
            boolean[] inStep = {false};
            mirror.closeUp(error -> inStep[0] = true);
            within(SECONDS, () -> inStep[0], "the target catches up");
        }
    }

    /** The guest sees the size that it had. */
    private BlockDevice cut(SimDisk disk) {
        return disk.geometry().sizeBytes() == size ? disk : new CutDevice(disk, size);
    }

    private void compareSides() {
        byte[] left = source.bytes(0, size);
        byte[] right = target.bytes(0, size);
        int differs = Arrays.mismatch(left, right);
        check(differs < 0, "both sides are equal at the switch, but not at byte " + differs);
    }

    private void cancel() {
        stopCopier();
        source.errorsPerMillion(0);
        stackBecomes(false);
        mirror.detach(error -> {});
        loop.runFor(random.nextLong(5 * MILLIS));
        finish(source);
    }

    private void finish(SimDisk authority) {
        guest.stop();
        within(SECONDS * 20, guest::idle, "the guest's requests end");
        guest.check(authority.bytes(0, size), "the disk in the end");
        check(guest.longestNanos() < STALL_NANOS * 3, "no request took longer than the bound");
        check(guest.requests() > 0, "the guest did something");
    }

    private void stackBecomes(boolean mirrored) {
        drain();
        gate.replace(mirrored ? mirror : source);
        resume();
    }

    private void drain() {
        boolean[] drained = {false};
        gate.quiesce(() -> drained[0] = true);
        within(STALL_NANOS * 3, () -> drained[0], "what is in flight ends");
    }

    private void resume() {
        gate.resume();
    }

    private void within(long nanos, BooleanSupplier condition, String what) {
        check(loop.runUntil(condition, loop.nanoTime() + nanos), what + " in time");
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("does not hold: " + what);
        }
    }
}
