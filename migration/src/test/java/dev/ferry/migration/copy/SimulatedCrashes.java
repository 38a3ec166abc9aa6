package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Geometry;
import dev.ferry.filter.Gate;
import dev.ferry.filter.mirror.InFlight;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorListener;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.PlantedStepBug;
import dev.ferry.filter.mirror.StepMap;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.filter.mirror.TrackedMirror;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.BooleanSupplier;

/**
 * One move in a simulated world whose process is killed, or whose power is lost, again and again at any instant, and which
 * goes on each time with what its record vouches for. In the end both sides must be equal, byte by byte; and after each
 * kill nothing is doubtful but what was written lately. Throws if anything is not as it must be.
 */
final class SimulatedCrashes {
    private static final long MILLIS = 1_000_000L;
    private static final long SECONDS = 1000 * MILLIS;
    private static final long STALL_NANOS = 60 * MILLIS;
    private static final int REGION_BYTES = 64 << 10;
    private static final int LIVES_MAX = 6;

    private final PlantedStepBug bug;
    private final SplittableRandom random;
    private final SimLoop world;
    private final int size;
    private final int regions;
    private final SimDisk source;
    private final SimDisk target;
    private final SimulatedStepStore store;
    private final StepSettings settings;
    private final boolean trails;
    private final BufferPool buffers = new BufferPool(Arena.ofAuto(), 0, 64 << 20);
    /** When a change of each region was last begun or ended. */
    private final long[] touchedNanos;

    /** The target is left behind, and the guest is held in the end. */
    private final boolean tracks;

    private SimulatedLife life;
    private Gate gate;
    private Mirror mirror;
    private Copier copier;
    private SimulatedGuest guest;
    private boolean copying;
    private boolean lost;
    /** The target has been asked for its holes. */
    private boolean asked;

    private SimulatedCrashes(long seed, PlantedStepBug bug) {
        this.bug = bug;
        random = new SplittableRandom(seed);
        world = new SimLoop(random.nextLong());
        size = REGION_BYTES * (1 + random.nextInt(20)) + (random.nextBoolean() ? 0 : 1 + random.nextInt(REGION_BYTES));
        regions = (size + REGION_BYTES - 1) / REGION_BYTES;
        touchedNanos = new long[regions];
        long latency = 20_000L << random.nextInt(3);
        source = new SimDisk("source", world, random.nextLong(), Geometry.ofBytes(size), latency);
        target = new SimDisk("target", world, random.nextLong(), Geometry.ofBytes(size), latency);
        target.failedFlushesLose();
        store = new SimulatedStepStore((regions + 63) / 64, random.split());
        store.syncFailuresPerMillion = random.nextInt(6) == 0 ? random.nextInt(40_000) : 0;
        settings = new StepSettings(MILLIS, 4 * MILLIS, 1 << random.nextInt(2));
        // A third of the moves; of those with a planted bug none, so that it is caught soon.
        tracks = seed % 3 == 0 && bug == PlantedStepBug.NONE;
        trails = random.nextBoolean() && !tracks;
        byte[] content = new byte[size];
        for (int i = random.nextInt(8); i > 0; i--) {
            int from = random.nextInt(size) & -4096;
            int end = Math.min(size, from + 1 + random.nextInt(200_000));
            Arrays.fill(content, from, end, (byte) random.nextInt(256));
            source.fill(from, Arrays.copyOfRange(content, from, end));
        }
        life = new SimulatedLife(world);
        gate = new Gate(life, source);
        guest = new SimulatedGuest(life, gate, buffers, content, 0);
        mirror = new Mirror(life, source, target, MirrorSettings.DEFAULT, why -> {});
        copier = new Copier(life, mirror, buffers, CopierSettings.DEFAULT);
    }

    /** Runs one seed. */
    static void run(long seed, PlantedStepBug bug) {
        try {
            new SimulatedCrashes(seed, bug).run();
        } catch (AssertionError | RuntimeException failure) {
            throw new AssertionError("seed " + seed + " with crashes: " + failure.getMessage(), failure);
        }
    }

    private void run() {
        boolean first = true;
        for (int lives = random.nextInt(LIVES_MAX); lives > 0; lives--) {
            begin(first);
            first = false;
            live();
            if (random.nextBoolean()) {
                processDies();
            } else {
                powerGoes();
            }
        }
        begin(first);
        bringToAnEnd();
    }

    // ---- one life

    private void begin(boolean first) {
        life = new SimulatedLife(world);
        long[] inStep = store.inStep();
        long[] firm = store.firm();
        store.begin();
        StepMap steps = bug.steps(life, store.open(life), settings, regions, inStep, firm);
        boolean away = !first && random.nextBoolean();
        lost = away;
        MirrorListener listener = why -> lost = true;
        BlockDevice attached = openTarget();
        MirrorSettings how = new MirrorSettings(REGION_BYTES, STALL_NANOS, true);
        BlockDevice lower = life.open(new TouchedDevice(source, this::touched));
        mirror = tracks
                ? new TrackedMirror(life, lower, away ? null : attached, how, listener, steps)
                : bug.mirror(life, lower, away ? null : attached, how, listener, steps);
        if (trails) {
            mirror.trail(SimulatedTrail.bounds(random));
        }
        copier = new Copier(life, mirror, buffers, new CopierSettings(1 + random.nextInt(3), REGION_BYTES, 0));
        copying = false;
        asked = false;
        gate = new Gate(life, mirror);
        guest = new SimulatedGuest(life, gate, buffers, source.bytes(0, size), random.nextLong());
        guest.start(1 + random.nextInt(6));
        if (away) {
            world.runFor(random.nextLong(6 * MILLIS));
        }
    }

    private BlockDevice openTarget() {
        return life.open(new TouchedDevice(target, this::touched));
    }

    private void touched(long offset, long length) {
        for (long region = offset / REGION_BYTES; region * REGION_BYTES < offset + length; region++) {
            touchedNanos[(int) region] = world.nanoTime();
        }
    }

    /** Takes the target up, if that is not done. */
    private void takeUp() {
        if (!mirror.attached()) {
            target.endStalls();
            within(10 * SECONDS, () -> mirror.targetInFlight() == 0, "what had stalled ends");
            mirror.reattach(openTarget(), true);
            lost = false;
        }
    }

    private void live() {
        if (random.nextInt(4) > 0) {
            takeUp();
            startCopier();
        }
        if (random.nextInt(3) == 0) {
            target.errorsPerMillion(random.nextInt(60_000));
            target.stallsPerMillion(random.nextInt(20_000));
        }
        for (int i = random.nextInt(4); i > 0; i--) {
            world.runFor(random.nextLong(12 * MILLIS));
            if (random.nextInt(4) == 0) {
                guest.stop();
            } else if (random.nextInt(3) == 0) {
                guest.start(1);
            }
            if (lost && random.nextBoolean()) {
                takeUp();
            }
            if (!copying && mirror.attached()) {
                startCopier();
            }
        }
        world.runFor(random.nextLong(6 * MILLIS));
    }

    private void startCopier() {
        copying = true;
        if (asked) {
            copier.start(error -> copying = false);
            return;
        }
        asked = true;
        SimulatedLife now = life;
        new TargetHoles(now, mirror, done -> copier.start(error -> copying = false)).start();
    }

    // ---- the ends of a life

    private void processDies() {
        end();
        store.processDied();
        target.processDied();
        long now = world.nanoTime();
        checkDoubts(now);
        target.endStalls();
        // A file is free once the system has done, or given up, what the process had asked of it.
        within(10 * SECONDS, () -> source.inFlight() == 0 && target.inFlight() == 0, "requests of the dead end");
        guest.check(source.bytes(0, size), "the source after a crash");
    }

    /** Only what was written within two ticks before, or was in flight to either side, is doubtful: copied again. */
    private void checkDoubts(long now) {
        if (store.isVoid()) {
            return;
        }
        long[] inStep = store.inStep();
        long[] copied = store.copied();
        for (int region = 0; region < regions; region++) {
            long bit = 1L << region;
            boolean doubtful = (copied[region / 64] & bit) != 0 && (inStep[region / 64] & bit) == 0;
            boolean touched = now - touchedNanos[region] <= 2 * settings.tickNanos()
                    || guest.changing(region, REGION_BYTES)
                    || InFlight.in(mirror, region);
            if (doubtful && !touched) {
                throw new AssertionError("region " + region + " is doubtful, and was not written lately");
            }
        }
    }

    private void powerGoes() {
        end();
        source.losePower();
        target.losePower();
        store.powerLost();
    }

    private void end() {
        life.die();
        guest.died();
        target.errorsPerMillion(0);
        target.stallsPerMillion(0);
    }

    // ---- the last one

    private void bringToAnEnd() {
        world.runFor(random.nextLong(5 * MILLIS));
        boolean[] drained = {false};
        if (tracks && !gate.quiesced()) {
            takeUp();
            world.runFor(random.nextLong(5 * MILLIS));
            gate.quiesce(() -> drained[0] = true);
            within(STALL_NANOS * 3, () -> drained[0], "what is in flight ends");
        }
        long end = world.nanoTime() + 300 * SECONDS;
        while (mirror.pendingBytes() > 0 || copying || !mirror.attached()) {
            check(world.nanoTime() < end, "the copy comes to an end");
            takeUp();
            if (!copying) {
                startCopier();
            }
            check(world.runUntil(() -> !copying, end), "the copier makes progress");
        }
        boolean[] inStep = {false};
        mirror.closeUp(error -> inStep[0] = true);
        within(STALL_NANOS * 3, () -> inStep[0], "the target catches up");
        if (mirror.pendingBytes() > 0 || !mirror.attached()) {
            mirror.trailAgain();
            bringToAnEnd();
            return;
        }
        if (!tracks) {
            gate.quiesce(() -> drained[0] = true);
            within(STALL_NANOS * 3, () -> drained[0], "what is in flight ends");
        }
        boolean[] flushed = {false};
        mirror.settle(error -> flushed[0] = error == null);
        within(SECONDS, () -> flushed[0], "both sides are flushed");
        if (mirror.pendingBytes() > 0 || !mirror.attached()) {
            // The target was lost while what was in flight ended: nobody switches then.
            if (!tracks) {
                gate.resume();
            }
            mirror.trailAgain();
            bringToAnEnd();
            return;
        }
        byte[] left = source.bytes(0, size);
        int differs = Arrays.mismatch(left, target.bytes(0, size));
        check(differs < 0, "both sides are equal at the switch, but not at byte " + differs);
        guest.check(left, "the disk in the end");
        mirror.detach(error -> {});
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
