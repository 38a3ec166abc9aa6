package dev.ferry.migration.copy;

import dev.ferry.block.Loop;
import dev.ferry.filter.LatencyWatch;
import org.jspecify.annotations.Nullable;

/**
 * Turns the dial of {@link Paced} work by what its guest feels (rule 10 of the mirror).
 *
 * <p>Without a bound there are two efforts: a gentle one beside a guest at work, and the full one beside an idle guest.
 *
 * <p>With a bound the controller first listens, with the work at its floor: the 99th percentile then is what the guest has
 * without the work. From then on, as often as there are enough requests to judge by, it lowers the effort, and below the
 * lowest effort the pace, when the percentile nears what it had plus the bound, and raises them when it is far below. An
 * effort that was too much is tried again later each time. Now and then it listens again, since guests change.
 *
 * <p>{@snippet :
 *   floor ──── pace in bytes/s ──── 1 x 64K ── 1 x 128K ── 1 x 256K ── 2 x 256K ── 4 x 256K ── 4 x 1M
 *   <- slower at once when the guest feels it             faster, a step at a time, when it does not ->
 * }
 *
 * <p>Thread: the loop's.
 */
public final class PaceController {
    private static final long TICK_NANOS = 50_000_000;
    private static final long JUDGE_NANOS_MAX = 500_000_000;
    private static final int JUDGE_REQUESTS = 100;
    private static final int LISTEN_REQUESTS = 200;
    private static final long LISTEN_NANOS = 1_000_000_000;
    private static final long LISTEN_AGAIN_NANOS = 15_000_000_000L;
    private static final double IDLE_REQUESTS_PER_SECOND = 40;
    private static final double BACK_OFF_SHARE = 0.7;
    private static final double SPEED_UP_SHARE = 0.45;
    private static final double PACE_DOWN = 0.6;
    private static final double PACE_UP = 1.4;
    private static final int PATIENCE_MAX = 32;
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
    /** Beside a guest at work that has no bound. */
    private static final int GENTLE = 2;

    private static final int FULL = STEPS.length - 1;

    private final Loop loop;
    private final LatencyWatch watch;
    private final PaceSettings settings;
    private final Runnable tick = this::tick;

    private @Nullable Paced work;
    private Loop.@Nullable Timer timer;
    private long sinceNanos;
    private long workedBefore;
    private boolean listening;
    private long listenedNanos;
    private long baselineNanos;
    private int step = GENTLE;
    private long pace;
    private int stepBefore;
    private long paceBefore;
    private int good;
    private int patience = 1;

    public PaceController(Loop loop, LatencyWatch watch, PaceSettings settings) {
        this.loop = loop;
        this.watch = watch;
        this.settings = settings;
    }

    /** Takes the dial of some work, instead of any earlier. */
    public void steer(Paced paced) {
        stop();
        work = paced;
        if (settings.maxAddedNanos() > 0) {
            // What the guest can bear is found from below.
            apply(0, settings.floorBytesPerSecond());
            listen();
        } else {
            apply(GENTLE, 0);
        }
        begin();
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

    private void begin() {
        watch.reset();
        sinceNanos = loop.nanoTime();
        Paced paced = work;
        workedBefore = paced == null ? 0 : paced.workedBytes();
    }

    private void apply(int newStep, long newPace) {
        step = newStep;
        pace = newPace;
        Paced paced = work;
        if (paced != null) {
            paced.effort(STEPS[step].depth(), STEPS[step].chunkBytes());
            paced.pace(pace);
        }
    }

    private void listen() {
        listening = true;
        stepBefore = step;
        paceBefore = pace;
        apply(0, settings.floorBytesPerSecond());
    }

    private void tick() {
        Paced paced = work;
        if (paced == null) {
            return;
        }
        long passed = loop.nanoTime() - sinceNanos;
        if (settings.maxAddedNanos() == 0) {
            yieldToGuest(passed);
            begin();
        } else if (listening) {
            if (passed >= LISTEN_NANOS || watch.count() >= LISTEN_REQUESTS) {
                listening = false;
                listenedNanos = loop.nanoTime();
                baselineNanos = watch.p99Nanos();
                apply(stepBefore, paceBefore);
                begin();
            }
        } else if (watch.count() >= JUDGE_REQUESTS || passed >= JUDGE_NANOS_MAX) {
            judge(paced.workedBytes() - workedBefore, passed);
            if (loop.nanoTime() - listenedNanos >= LISTEN_AGAIN_NANOS) {
                listen();
            }
            begin();
        }
        timer = loop.schedule(TICK_NANOS, tick);
    }

    private void yieldToGuest(long passed) {
        good = idle(passed) ? good + 1 : 0;
        int wanted = good * TICK_NANOS >= JUDGE_NANOS_MAX ? FULL : good == 0 ? GENTLE : step;
        if (wanted != step) {
            apply(wanted, 0);
        }
    }

    private boolean idle(long passed) {
        return watch.count() < IDLE_REQUESTS_PER_SECOND * passed / NANOS;
    }

    private void judge(long worked, long passed) {
        if (idle(passed)) {
            apply(FULL, 0);
            return;
        }
        long p99 = watch.p99Nanos();
        long added = p99 - baselineNanos;
        if (added > settings.maxAddedNanos() * BACK_OFF_SHARE) {
            good = 0;
            patience = Math.min(PATIENCE_MAX, patience * 2);
            slower(added > settings.maxAddedNanos(), (long) (worked / (passed / NANOS)));
        } else if (added < settings.maxAddedNanos() * SPEED_UP_SHARE && ++good >= patience) {
            good = 0;
            patience = Math.max(1, patience - 1);
            faster((long) (worked / (passed / NANOS)));
        }
    }

    private void slower(boolean tooMuch, long bytesPerSecond) {
        if (step > 0) {
            apply(tooMuch ? 0 : step - 1, 0);
        } else {
            long now = pace == 0 ? bytesPerSecond : Math.min(pace, bytesPerSecond);
            apply(0, Math.max(settings.floorBytesPerSecond(), (long) (now * PACE_DOWN)));
        }
    }

    private void faster(long bytesPerSecond) {
        if (pace == 0) {
            apply(Math.min(FULL, step + 1), 0);
        } else if (bytesPerSecond < pace / 2) {
            // It is not the pace that holds the work back.
            apply(0, 0);
        } else {
            apply(0, (long) (pace * PACE_UP));
        }
    }
}
