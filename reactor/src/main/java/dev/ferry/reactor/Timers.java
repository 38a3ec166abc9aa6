package dev.ferry.reactor;

import java.util.PriorityQueue;
import java.util.function.Consumer;

/** Tasks that wait for their time, for one loop; belongs to its thread. */
final class Timers {
    private final PriorityQueue<Entry> queue = new PriorityQueue<>();
    private long order;

    /** A task and its time. One that was scheduled has one; one that began idle is set, by {@link #set} alone, as often as wanted. */
    static final class Entry implements EventLoop.Timer, Comparable<Entry> {
        private long atNanos;
        private long order;
        private Runnable task;
        private boolean cancelled;
        private boolean queued;

        private Entry(Runnable task) {
            this.task = task;
        }

        @Override
        public void cancel() {
            cancelled = true;
            task = () -> {};
        }

        @Override
        public int compareTo(Entry other) {
            int byTime = Long.compare(atNanos - other.atNanos, 0);
            return byTime != 0 ? byTime : Long.compare(order, other.order);
        }
    }

    EventLoop.Timer schedule(long atNanos, Runnable task) {
        Entry entry = new Entry(task);
        set(entry, atNanos);
        return entry;
    }

    /** A task without a time. */
    Entry idle(Runnable task) {
        return new Entry(task);
    }

    /** Gives a task a time, whether it has one or not. Few are waiting at once: it is looked for among all. */
    void set(Entry entry, long atNanos) {
        unset(entry);
        entry.atNanos = atNanos;
        entry.order = order++;
        entry.queued = true;
        queue.add(entry);
    }

    void unset(Entry entry) {
        if (entry.queued) {
            entry.queued = false;
            queue.remove(entry);
        }
    }

    boolean isEmpty() {
        return queue.isEmpty();
    }

    /** Nanoseconds until the next task, 0 if it is due, -1 if there is none. */
    long untilNext(long nowNanos) {
        Entry first = queue.peek();
        while (first != null && first.cancelled) {
            queue.poll();
            first = queue.peek();
        }
        return first == null ? -1 : Math.max(0, first.atNanos - nowNanos);
    }

    /** Runs what is due; a task that schedules another for now does not keep the loop here. */
    void run(long nowNanos, Consumer<Runnable> runner) {
        Entry first = queue.peek();
        while (first != null && first.atNanos - nowNanos <= 0) {
            queue.poll();
            first.queued = false;
            if (!first.cancelled) {
                runner.accept(first.task);
            }
            first = queue.peek();
        }
    }
}
