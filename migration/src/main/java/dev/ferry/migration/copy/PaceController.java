package dev.ferry.migration.copy;

import dev.ferry.block.Loop;
import dev.ferry.filter.LatencyWatch;
import org.jspecify.annotations.Nullable;

/**
 * Turns the dial of {@link Paced} work by what its guest feels (rule 10 of the mirror).
 *
 * <p>Without a bound there are two efforts: a gentle one beside a guest at work, and the full one beside an idle guest.
 *
 * <p>With a bound the work begins at its floor, and the controller listens for a second: the 99th percentile then is what
 * the guest has without the work. Requests that take longer than that and most of the bound are slow, and the guest has a
 * budget of them: one of a hundred in any second, for as long as there are no more its 99th percentile is within the bound.
 * Where a part of a second's budget has been used up within it since the dial was last turned, the pace is halved; where most of a second's
 * budget has gone, the work waits at its floor until that second is over. While the budget is hardly touched the pace grows:
 * quickly up to three quarters of where it last was too much, the less quickly the more of the budget is in use, then in
 * small steps, each of which is tried again later every time that it fails. Requests that are slow while the work is at its floor are not of its making: what was concluded from
 * them is taken back, and where that lasts the controller listens again, as it does now and then in any case, since guests change.
 *
 * {@snippet :
 *   floor ─── 1 x 64K ─── 16M/s ─── 1 x 128K ─── 48M/s ─── 1 x 256K, and more where the pace asks for more ───>
 *   <- half, or the floor at once, when requests are slow       faster, a little at a time, when they are not ->
 * }
 *
 * <p>Thread: the loop's.
 */
public final class PaceController {
    private static final long TICK_NANOS = 50_000_000;
    private static final int TICKS_A_SECOND = 20;
    private static final int IDLE_TICKS = 10;
    private static final long LISTEN_NANOS = 1_000_000_000;
    /** Fewer say nothing about a percentile. */
    private static final int LISTEN_REQUESTS = 50;

    private static final long LISTEN_AGAIN_NANOS = 15_000_000_000L;
    /** For how long requests may be slow with the work at its floor before the controller listens: none of a second's is older. */
    private static final long WAITING_NANOS = 1_000_000_000;
    /** After which nothing that the work had asked for before it went to its floor is under way. */
    private static final long DRAINED_NANOS = 2 * TICK_NANOS;

    private static final double IDLE_REQUESTS_PER_SECOND = 40;
    /** Of the bound; longer requests are slow. */
    private static final double SLOW_SHARE = 0.7;
    /** Of a second's requests that may be slow. */
    private static final double BUDGET_SHARE = 0.01;
    /** Of a second's budget, when it goes to the floor. */
    private static final double SPENT_SHARE = 0.7;
    /** Of a second's budget, used in the last second and since the dial was turned, when it becomes slower. */
    private static final double SLOWER_SHARE = 0.4;
    /** Of a second's budget, below which it may become faster. */
    private static final double FASTER_SHARE = 0.3;

    private static final double PACE_DOWN = 0.5;
    /** While nothing is slow. */
    private static final double PACE_UP = 1.5;
    /** While as much is slow as lets it become faster at all. */
    private static final double PACE_LEAST_UP = 1.1;

    private static final double PACE_BEYOND = 1.15;
    private static final double NEAR_CEILING = 0.75;
    private static final double REACHED_SHARE = 0.75;
    private static final long CALM_NANOS = 400_000_000;
    private static final long PATIENCE_NANOS = 1_000_000_000;
    private static final long PATIENCE_NANOS_MAX = 16_000_000_000L;
    private static final double NANOS = 1e9;

    /** An effort. */
    private record Step(int depth, int chunkBytes) {}

    private static final Step[] STEPS = {
        new Step(1, 64 << 10),
        new Step(1, 128 << 10),
        new Step(1, 256 << 10),
        new Step(2, 256 << 10),
        new Step(4, 256 << 10),
        new Step(4, 1 << 20),
    };
    /** How fast the work may be, and how soon more is tried. */
    private record Limit(long pace, long ceiling, long patienceNanos, int effort) {}

    /** Beside a guest at work that has no bound; the least that keeps up with a pace that is not low. */
    private static final int GENTLE = 2;

    private static final int FULL = STEPS.length - 1;
    /** Below these paces the first efforts do, in smaller requests. */
    private static final long[] LOW_PACES = {16L << 20, 48L << 20};

    private final Loop loop;
    private final LatencyWatch watch;
    private final PaceSettings settings;
    private final RecentRequests recent = new RecentRequests(TICKS_A_SECOND);
    private final Runnable tick = this::tick;

    private @Nullable Paced work;
    private Loop.@Nullable Timer timer;
    private long requestsBefore;
    private long slowBefore;
    private int idleTicks;

    private boolean listening;
    private long listenedNanos;
    private long baselineNanos;

    /** That is applied. */
    private int step = GENTLE;
    /** That keeps up with a pace that is not low. */
    private int effort = GENTLE;

    private long pace;
    private long ceiling = Long.MAX_VALUE;
    private long patienceNanos = PATIENCE_NANOS;
    private long turnedNanos;
    private long slowWhenTurned;
    private long workedWhenTurned;
    /** At the floor until there is a budget again. */
    private boolean waiting;

    private long waitingNanos;
    private long slowAtFloor;
    /** What is known of the work's effect, from before it last was too much. */
    private Limit before = new Limit(0, Long.MAX_VALUE, PATIENCE_NANOS, GENTLE);

    private boolean idle;

    public PaceController(Loop loop, LatencyWatch watch, PaceSettings settings) {
        this.loop = loop;
        this.watch = watch;
        this.settings = settings;
    }

    /** Takes the dial of some work, instead of any earlier. */
    public void steer(Paced paced) {
        stop();
        work = paced;
        requestsBefore = watch.count();
        slowBefore = watch.slowCount();
        if (settings.maxAddedNanos() > 0) {
            pace = Math.max(pace, settings.floorBytesPerSecond());
            listen();
        } else {
            apply(GENTLE, 0);
        }
        timer = loop.schedule(TICK_NANOS, tick);
    }

    public void stop() {
        Loop.Timer running = timer;
        if (running != null) {
            running.cancel();
            timer = null;
        }
        work = null;
    }

    /** What the guest's 99th percentile was without the work, as far as is known; 0: not. */
    public long baselineNanos() {
        return baselineNanos;
    }

    private void tick() {
        if (work == null) {
            return;
        }
        long requests = watch.count() - requestsBefore;
        recent.add(requests, watch.slowCount() - slowBefore);
        requestsBefore += requests;
        slowBefore = watch.slowCount();
        idleTicks = requests < IDLE_REQUESTS_PER_SECOND * TICK_NANOS / NANOS ? idleTicks + 1 : 0;
        if (settings.maxAddedNanos() == 0) {
            yieldToGuest();
        } else if (listening) {
            heard();
        } else {
            judge();
        }
        timer = loop.schedule(TICK_NANOS, tick);
    }

    private void yieldToGuest() {
        int wanted = idleTicks >= IDLE_TICKS ? FULL : idleTicks == 0 ? GENTLE : step;
        if (wanted != step) {
            apply(wanted, 0);
        }
    }

    private void listen() {
        listening = true;
        listenedNanos = loop.nanoTime();
        watch.reset();
        requestsBefore = 0;
        apply(0, settings.floorBytesPerSecond());
    }

    private void heard() {
        if (loop.nanoTime() - listenedNanos < LISTEN_NANOS) {
            return;
        }
        listening = false;
        listenedNanos = loop.nanoTime();
        baselineNanos = watch.count() < LISTEN_REQUESTS ? 0 : watch.p99Nanos();
        watch.slowAbove(baselineNanos + (long) (settings.maxAddedNanos() * SLOW_SHARE));
        turn(pace);
    }

    private void judge() {
        long now = loop.nanoTime();
        double budget = Math.max(1, recent.requests() * BUDGET_SHARE);
        if (waiting) {
            watchAtFloor(now, budget);
        }
        if (idleTicks >= IDLE_TICKS) {
            idle = true;
            if (step != FULL) {
                apply(FULL, 0);
            }
        } else if (idle && idleTicks == 0) {
            idle = false;
            if (baselineNanos == 0) {
                listen();
            } else {
                turn(pace);
            }
        } else if (idle) {
            return;
        } else if (recent.slow() > budget * SPENT_SHARE) {
            spent(now);
        } else if (waiting) {
            if (recent.slow() <= budget * FASTER_SHARE) {
                turn(pace);
            }
        } else if (Math.min(recent.slow(), watch.slowCount() - slowWhenTurned) > budget * SLOWER_SHARE) {
            tooMuch();
            turn(pace);
        } else if (recent.slow() <= budget * FASTER_SHARE) {
            faster(now, recent.slow() / (budget * FASTER_SHARE));
        }
        if (!listening && !idle && now - listenedNanos >= LISTEN_AGAIN_NANOS) {
            listen();
        }
    }

    /** Most of a second's budget has gone: the work waits for better times. */
    private void spent(long now) {
        if (!waiting) {
            tooMuch();
            waiting = true;
            waitingNanos = now;
            slowAtFloor = watch.slowCount();
            apply(0, settings.floorBytesPerSecond());
        } else if (now - waitingNanos >= WAITING_NANOS) {
            takeBack();
            waitingNanos = now;
            listen();
        }
    }

    /** The work waits at its floor: requests that are slow now are not slow by its doing. */
    private void watchAtFloor(long now, double budget) {
        if (now - waitingNanos <= DRAINED_NANOS) {
            slowAtFloor = watch.slowCount();
        } else if (watch.slowCount() - slowAtFloor > budget * SLOWER_SHARE) {
            takeBack();
        }
    }

    private void takeBack() {
        pace = before.pace();
        ceiling = before.ceiling();
        patienceNanos = before.patienceNanos();
        effort = before.effort();
    }

    private void tooMuch() {
        before = new Limit(pace, ceiling, patienceNanos, effort);
        ceiling = Math.max(pace, settings.floorBytesPerSecond());
        patienceNanos = Math.min(PATIENCE_NANOS_MAX, 2 * patienceNanos);
        effort = Math.max(GENTLE, effort - 1);
        pace = Math.max(settings.floorBytesPerSecond(), (long) (pace * PACE_DOWN));
    }

    /** @param used of the part of the budget with which it may become faster, 0 to 1 */
    private void faster(long now, double used) {
        long passed = now - turnedNanos;
        Paced paced = work;
        if (paced == null || passed < CALM_NANOS) {
            return;
        }
        long near = (long) (ceiling * NEAR_CEILING);
        long worked = (long) ((paced.workedBytes() - workedWhenTurned) / (passed / NANOS));
        boolean reached = worked >= pace * REACHED_SHARE;
        if (passed < patienceNanos && !(reached && pace < near)) {
            return;
        }
        if (!reached) {
            // It is not the pace that holds the work back.
            effort = Math.min(FULL, effort + 1);
            turn(Math.max(settings.floorBytesPerSecond(), (long) (worked * PACE_UP)));
        } else if (pace < near) {
            turn(Math.min(near, (long) (pace * (PACE_UP - (PACE_UP - PACE_LEAST_UP) * used))));
        } else {
            patienceNanos = Math.max(PATIENCE_NANOS, patienceNanos / 2);
            turn((long) (pace * PACE_BEYOND));
            ceiling = Math.max(ceiling, pace);
        }
    }

    /** Turns the dial to a pace, with the effort that keeps up with it. */
    private void turn(long bytesPerSecond) {
        waiting = false;
        pace = bytesPerSecond;
        Paced paced = work;
        turnedNanos = loop.nanoTime();
        slowWhenTurned = watch.slowCount();
        workedWhenTurned = paced == null ? 0 : paced.workedBytes();
        int low = 0;
        while (low < LOW_PACES.length && pace >= LOW_PACES[low]) {
            low++;
        }
        apply(low < LOW_PACES.length ? low : effort, pace);
    }

    private void apply(int newStep, long newPace) {
        step = newStep;
        Paced paced = work;
        if (paced != null) {
            paced.effort(STEPS[step].depth(), STEPS[step].chunkBytes());
            paced.pace(newPace);
        }
    }
}
