package dev.ferry.testkit;

import dev.ferry.block.Loop;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.SplittableRandom;
import java.util.function.BooleanSupplier;

/**
 * A loop in virtual time. What is due at one instant runs in an order that the seed decides; time then jumps to the next
 * instant at which something is due. The same seed and the same commands give the same run.
 *
 * <p>There is no thread: {@link #run} and its kin run the world on the caller's.
 */
public final class SimLoop implements Loop {
    /** Turns after which a run is taken for one that never ends. */
    private static final long TURNS_MAX = 50_000_000;

    private final SplittableRandom random;
    private final PriorityQueue<Task> later = new PriorityQueue<>();
    private final List<Runnable> ready = new ArrayList<>();
    private long nowNanos;
    private long scheduled;
    private long turns;

    public SimLoop(long seed) {
        this.random = new SplittableRandom(seed);
    }

    @Override
    public void execute(Runnable command) {
        ready.add(command);
    }

    @Override
    public boolean inLoop() {
        return true;
    }

    @Override
    public long nanoTime() {
        return nowNanos;
    }

    @Override
    public Timer schedule(long delayNanos, Runnable task) {
        Task timer = new Task(nowNanos + Math.max(0, delayNanos), scheduled++, task);
        later.add(timer);
        return timer;
    }

    @Override
    public Alarm alarm(Runnable task) {
        return new SimAlarm(task);
    }

    /** Runs until nothing is left to do. */
    public void run() {
        runUntil(() -> false, Long.MAX_VALUE);
    }

    /** Runs what is due until {@code nanos} from now, and moves time on to there. */
    public void runFor(long nanos) {
        long end = nowNanos + nanos;
        runUntil(() -> false, end);
        nowNanos = Math.max(nowNanos, end);
    }

    /**
     * Runs until a condition holds.
     *
     * @param endNanos instant at which to give up
     * @return false if there is nothing left to do, or the instant has come, and the condition does not hold
     */
    public boolean runUntil(BooleanSupplier condition, long endNanos) {
        while (!condition.getAsBoolean()) {
            if (!turn(endNanos)) {
                return false;
            }
        }
        return true;
    }

    private boolean turn(long endNanos) {
        if (++turns > TURNS_MAX) {
            throw new AssertionError("the simulation does not come to an end");
        }
        if (ready.isEmpty()) {
            Task soonest = later.peek();
            if (soonest == null || soonest.atNanos > endNanos) {
                return false;
            }
            nowNanos = Math.max(nowNanos, soonest.atNanos);
            for (Task due = soonest; due != null && due.atNanos <= nowNanos; due = later.peek()) {
                later.remove();
                if (!due.cancelled) {
                    ready.add(due.task);
                }
            }
            return true;
        }
        int chosen = random.nextInt(ready.size());
        Runnable task = ready.get(chosen);
        ready.set(chosen, ready.getLast());
        ready.removeLast();
        task.run();
        return true;
    }

    /** A task that is set again and again; what is due and waits for its turn is taken back as well. */
    private final class SimAlarm implements Alarm, Runnable {
        private final Runnable task;
        private final Task turn = new Task(0, 0, this);
        private boolean set;

        SimAlarm(Runnable task) {
            this.task = task;
        }

        @Override
        public void set(long delayNanos) {
            cancel();
            set = true;
            turn.atNanos = nowNanos + Math.max(0, delayNanos);
            turn.order = scheduled++;
            later.add(turn);
        }

        @Override
        public void cancel() {
            if (set && !later.remove(turn)) {
                ready.remove(this);
            }
            set = false;
        }

        @Override
        public void run() {
            set = false;
            task.run();
        }
    }

    private static final class Task implements Timer, Comparable<Task> {
        private long atNanos;
        private long order;
        private final Runnable task;
        private boolean cancelled;

        Task(long atNanos, long order, Runnable task) {
            this.atNanos = atNanos;
            this.order = order;
            this.task = task;
        }

        @Override
        public void cancel() {
            cancelled = true;
        }

        @Override
        public int compareTo(Task other) {
            int byTime = Long.compare(atNanos, other.atNanos);
            return byTime != 0 ? byTime : Long.compare(order, other.order);
        }
    }
}
