package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Geometry;
import dev.ferry.filter.Gate;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.PlantedStepBug;
import dev.ferry.filter.mirror.StepMap;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.BooleanSupplier;

/**
 * One way back in a simulated world. Both sides are in step; the guest passes to the target, a mirror that runs the other
 * way keeps the source in step, and in the end the guest goes back. The process is killed, or power is lost, at any instant,
 * before and after each of the two decisions too, and the old side errs, stalls and is away. At each decision both sides
 * must be equal and hold what the guest wrote, and after the last one the guest goes on on the old side. Throws if anything
 * is not as it must be.
 */
final class SimulatedWayBack {
    private static final long MILLIS = 1_000_000L;
    private static final long SECONDS = 1000 * MILLIS;
    private static final long STALL_NANOS = 60 * MILLIS;
    private static final int REGION_BYTES = 64 << 10;
    private static final int LIVES_MAX = 5;

    /** A switch that breaks a promise, for the canary. */
    enum Bug {
        NONE,
        /** The guest writes to the target before the mirror that runs back is in the stack. */
        PUT_IN_LATE,
        /** Both sides count as durable at the switch, and were not flushed. */
        NOT_FLUSHED,
        /** The guest goes back to a side that has not been caught up. */
        GONE_BACK_BEHIND
    }

    private final Bug bug;
    private final PlantedStepBug stepBug;
    private final SplittableRandom random;
    private final SimLoop world;
    private final int size;
    private final int regions;
    private final SimDisk old;
    private final SimDisk target;
    private final SimulatedStepStore forwardStore;
    private final SimulatedStepStore backStore;
    private final StepSettings settings;
    private final BufferPool buffers = new BufferPool(Arena.ofAuto(), 0, 64 << 20);
    private final long[] touchedNanos;

    /** What the journal holds: the target is the disk. */
    private boolean there;

    private SimulatedLife life;
    private Gate gate;
    private Mirror mirror;
    private Copier copier;
    private SimulatedGuest guest;
    private boolean copying;

    private SimulatedWayBack(long seed, Bug bug, PlantedStepBug stepBug) {
        this.bug = bug;
        this.stepBug = stepBug;
        random = new SplittableRandom(seed);
        world = new SimLoop(random.nextLong());
        size = REGION_BYTES * (1 + random.nextInt(20)) + (random.nextBoolean() ? 0 : 1 + random.nextInt(REGION_BYTES));
        regions = (size + REGION_BYTES - 1) / REGION_BYTES;
        touchedNanos = new long[regions];
        long latency = 20_000L << random.nextInt(3);
        old = new SimDisk("old", world, random.nextLong(), Geometry.ofBytes(size), latency);
        target = new SimDisk("target", world, random.nextLong(), Geometry.ofBytes(size), latency);
        old.failedFlushesLose();
        int words = (regions + 63) / 64;
        forwardStore = new SimulatedStepStore(words, random.split());
        backStore = new SimulatedStepStore(words, random.split());
        backStore.syncFailuresPerMillion = random.nextInt(6) == 0 ? random.nextInt(40_000) : 0;
        settings = new StepSettings(MILLIS, 4 * MILLIS, 1 << random.nextInt(2));
        byte[] content = new byte[size];
        for (int i = random.nextInt(8); i > 0; i--) {
            int from = random.nextInt(size) & -4096;
            int end = Math.min(size, from + 1 + random.nextInt(200_000));
            Arrays.fill(content, from, end, (byte) random.nextInt(256));
        }
        old.fill(0, content);
        target.fill(0, content);
        forwardStore.begin(all(), all());
        life = new SimulatedLife(world);
        gate = new Gate(life, old);
        guest = new SimulatedGuest(life, gate, buffers, content, 0);
        mirror = new Mirror(life, old, target, MirrorSettings.DEFAULT, why -> {});
        copier = new Copier(life, mirror, buffers, CopierSettings.DEFAULT);
    }

    /** Runs one seed. */
    static void run(long seed, Bug bug, PlantedStepBug stepBug) {
        try {
            new SimulatedWayBack(seed, bug, stepBug).run();
        } catch (AssertionError | RuntimeException failure) {
            throw new AssertionError("seed " + seed + " of a way back: " + failure.getMessage(), failure);
        }
    }

    private void run() {
        begin();
        world.runFor(random.nextLong(8 * MILLIS));
        while (!there) {
            pass();
        }
        for (int lives = random.nextInt(LIVES_MAX); lives > 0; lives--) {
            live();
            crash();
        }
        live();
        while (there) {
            pass();
        }
        world.runFor(random.nextLong(6 * MILLIS));
        guest.stop();
        drain();
        guest.check(old.bytes(0, size), "the disk that was gone back to");
    }

    private long[] all() {
        long[] words = new long[(regions + 63) / 64];
        for (int region = 0; region < regions; region++) {
            words[region / 64] |= 1L << region;
        }
        return words;
    }

    // ---- lives

    private SimDisk disk() {
        return there ? target : old;
    }

    private SimDisk other() {
        return there ? old : target;
    }

    private SimulatedStepStore store() {
        return there ? backStore : forwardStore;
    }

    /** A process starts, and finds what the journal says. */
    private void begin() {
        life = new SimulatedLife(world);
        SimulatedStepStore store = store();
        long[] inStep = store.inStep();
        long[] firm = store.firm();
        store.begin();
        boolean away = random.nextBoolean();
        mirror = mirror(store, inStep, firm, away);
        copier = copier();
        gate = new Gate(life, mirror);
        guest = new SimulatedGuest(life, gate, buffers, disk().bytes(0, size), random.nextLong());
        guest.start(1 + random.nextInt(6));
    }

    private Mirror mirror(SimulatedStepStore store, long[] inStep, long[] firm, boolean away) {
        StepMap steps = stepBug.steps(life, store.open(life), settings, regions, inStep, firm);
        MirrorSettings how = new MirrorSettings(REGION_BYTES, STALL_NANOS, false);
        return stepBug.mirror(life, opened(disk()), away ? null : opened(other()), how, why -> {}, steps);
    }

    private Copier copier() {
        copying = false;
        return new Copier(life, mirror, buffers, new CopierSettings(1 + random.nextInt(3), REGION_BYTES, 0));
    }

    private BlockDevice opened(SimDisk disk) {
        return life.open(new TouchedDevice(disk, this::touched));
    }

    private void touched(long offset, long length) {
        for (long region = offset / REGION_BYTES; region * REGION_BYTES < offset + length; region++) {
            touchedNanos[(int) region] = world.nanoTime();
        }
    }

    private void live() {
        if (random.nextInt(3) == 0) {
            other().errorsPerMillion(random.nextInt(60_000));
            other().stallsPerMillion(random.nextInt(20_000));
        }
        for (int i = 1 + random.nextInt(4); i > 0; i--) {
            world.runFor(random.nextLong(12 * MILLIS));
            if (random.nextBoolean()) {
                takeUp();
            }
            startCopier();
        }
        if (random.nextInt(4) == 0) {
            guest.stop();
        }
        world.runFor(random.nextLong(6 * MILLIS));
    }

    private void takeUp() {
        if (!mirror.attached()) {
            other().endStalls();
            within(10 * SECONDS, () -> mirror.targetInFlight() == 0, "what had stalled ends");
            mirror.reattach(opened(other()), true);
        }
    }

    private void startCopier() {
        if (!copying && mirror.attached()) {
            copying = true;
            copier.start(error -> copying = false);
        }
    }

    private void crash() {
        life.die();
        guest.died();
        other().errorsPerMillion(0);
        other().stallsPerMillion(0);
        if (random.nextBoolean()) {
            store().processDied();
            old.processDied();
            target.processDied();
            checkDoubts();
            old.endStalls();
            target.endStalls();
            within(10 * SECONDS, () -> old.inFlight() == 0 && target.inFlight() == 0, "requests of the dead end");
            guest.check(disk().bytes(0, size), "the disk after a crash");
        } else {
            old.losePower();
            target.losePower();
            store().powerLost();
        }
        begin();
    }

    /** Only what was written within two ticks before, or was in flight, is doubtful. */
    private void checkDoubts() {
        if (store().isVoid()) {
            return;
        }
        long[] inStep = store().inStep();
        long[] copied = store().copied();
        for (int region = 0; region < regions; region++) {
            long bit = 1L << region;
            boolean doubtful = (copied[region / 64] & bit) != 0 && (inStep[region / 64] & bit) == 0;
            boolean touched = world.nanoTime() - touchedNanos[region] <= 2 * settings.tickNanos()
                    || guest.changing(region, REGION_BYTES);
            if (doubtful && !touched) {
                throw new AssertionError("region " + region + " is doubtful, and was not written lately");
            }
        }
    }

    // ---- from one side to the other

    /** One attempt to pass, on the way there or back; a crash may come before the decision, or after it. */
    private void pass() {
        other().errorsPerMillion(0);
        other().stallsPerMillion(0);
        boolean mustBeInStep = bug != Bug.GONE_BACK_BEHIND || !there;
        if (mustBeInStep) {
            catchUp();
        }
        if (!there) {
            backStore.begin(all(), random.nextBoolean() ? all() : forwardStore.firm());
        }
        drainByGate();
        if (bug != Bug.NOT_FLUSHED || there) {
            boolean[] flushed = {false};
            mirror.flush(error -> flushed[0] = error == null);
            within(SECONDS, () -> flushed[0], "both sides are flushed");
        }
        if (mustBeInStep && (!mirror.attached() || mirror.pendingBytes() > 0)) {
            // Something that was in flight has failed, or had stalled: another attempt follows.
            gate.resume();
            return;
        }
        int differs = Arrays.mismatch(disk().bytes(0, size), other().bytes(0, size));
        check(differs < 0, "both sides are equal at the decision, but not at byte " + differs);
        guest.check(other().bytes(0, size), "the side that is passed to");
        if (random.nextInt(5) == 0) {
            crash();
            return;
        }
        there = !there;
        if (random.nextInt(5) == 0 && there) {
            crash();
            return;
        }
        if (there) {
            goOnThere();
        } else {
            goOnBack();
        }
    }

    private void catchUp() {
        long end = world.nanoTime() + 300 * SECONDS;
        while (mirror.pendingBytes() > 0 || copying || !mirror.attached()) {
            check(world.nanoTime() < end, "the old side is caught up");
            takeUp();
            startCopier();
            check(world.runUntil(() -> !copying, end), "the copier makes progress");
        }
    }

    private void drainByGate() {
        boolean[] drained = {false};
        gate.quiesce(() -> drained[0] = true);
        within(STALL_NANOS * 3, () -> drained[0], "what is in flight ends");
    }

    private void goOnThere() {
        Mirror before = mirror;
        mirror = mirror(backStore, backStore.inStep(), backStore.firm(), false);
        copier = copier();
        if (bug == Bug.PUT_IN_LATE) {
            gate.replace(opened(target));
            gate.resume();
            world.runFor(MILLIS);
            drainByGate();
        }
        gate.replace(mirror);
        gate.resume();
        before.detach(idle -> {});
    }

    private void goOnBack() {
        gate.replace(opened(old));
        gate.resume();
        mirror.detach(idle -> {});
        if (random.nextInt(4) == 0) {
            life.die();
            guest.died();
            old.losePower();
            target.losePower();
            life = new SimulatedLife(world);
            gate = new Gate(life, old);
            guest = new SimulatedGuest(life, gate, buffers, old.bytes(0, size), random.nextLong());
            guest.start(2);
        }
    }

    private void drain() {
        within(10 * SECONDS, guest::idle, "requests of the guest end");
    }

    private void within(long nanos, BooleanSupplier condition, String what) {
        check(world.runUntil(condition, world.nanoTime() + nanos), what + " in time");
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("does not hold: " + what);
        }
    }
}
