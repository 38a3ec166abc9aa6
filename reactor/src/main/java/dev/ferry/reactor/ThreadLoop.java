package dev.ferry.reactor;

import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.RejectedExecutionException;
import org.jctools.queues.varhandle.MpscUnboundedVarHandleArrayQueue;
import org.jspecify.annotations.Nullable;

/**
 * What both loops share: the thread, commands from other threads, timers, and operations that end without having to
 * wait for the kernel.
 *
 * <pre>
 *   one turn:   timers ─▶ commands ⇄ operations that have ended ─▶ wait for the kernel ─▶ its completions ─▶ again
 * </pre>
 *
 * <p>A thread that submits a command wakes the loop only if it sleeps: the loop says so ({@code sleeping}) before it
 * looks at the queue for the last time, and the other thread looks at {@code sleeping} after it has put its command
 * there, so that one of them sees the other.
 */
abstract class ThreadLoop extends EventLoop {
    private static final int COMMANDS_A_TURN = 256;
    private static final int ROUNDS_A_TURN = 8;

    /** The slot of an operation that is in flight, but not with the kernel. */
    static final int OUTSIDE = Integer.MAX_VALUE;

    final Timers timers = new Timers();
    private final MpscUnboundedVarHandleArrayQueue<Runnable> commands = new MpscUnboundedVarHandleArrayQueue<>(256);
    private final Thread thread;
    private volatile boolean sleeping;
    private volatile boolean closed;
    private @Nullable IoOperation[] ended = new @Nullable IoOperation[64];
    private int[] endedResults = new int[64];
    private int endedCount;

    ThreadLoop(String threadName) {
        thread = Thread.ofPlatform().name(threadName).daemon(true).unstarted(this::run);
    }

    /** Starts the thread and waits until it has what it needs from the kernel. */
    final void start() {
        thread.start();
    }

    /** Takes from the kernel what the loop needs; on the loop's thread. */
    abstract void open();

    /** Gives it back. */
    abstract void release();

    /**
     * Submits what there is and waits for completions.
     *
     * @param timeoutNanos longest time to wait; 0: do not wait; -1: no bound
     */
    abstract void await(long timeoutNanos);

    /** Wakes a loop that waits; any thread. */
    abstract void wake();

    private void run() {
        open();
        while (!closed) {
            if (!timers.isEmpty()) {
                timers.run(nanoTime(), this::runGuarded);
            }
            // What one does often gives the other something to do; the kernel is asked when both have nothing left.
            int rounds = 0;
            do {
                runCommands();
                runEnded();
                rounds++;
            } while ((endedCount > 0 || !commands.isEmpty()) && rounds < ROUNDS_A_TURN);
            if (closed) {
                break;
            }
            turn();
        }
        // What was asked for before the loop was closed is still done.
        while (!commands.isEmpty()) {
            runCommands();
        }
        release();
    }

    private void turn() {
        long timeout = timers.isEmpty() ? -1 : timers.untilNext(nanoTime());
        if (endedCount > 0 || timeout == 0) {
            await(0);
            return;
        }
        sleeping = true;
        if (!commands.isEmpty() || closed) {
            timeout = 0;
        }
        await(timeout);
        sleeping = false;
    }

    private void runCommands() {
        for (int i = 0; i < COMMANDS_A_TURN; i++) {
            Runnable command = commands.poll();
            if (command == null) {
                return;
            }
            runGuarded(command);
        }
    }

    /** A defect in one command must not take the other disks of this loop with it. */
    private void runGuarded(Runnable command) {
        try {
            command.run();
        } catch (RuntimeException | AssertionError defect) {
            Defects.log("a command on an event loop failed", defect);
        }
    }

    @Override
    public final void hold(IoOperation operation) {
        if (operation.slot >= 0) {
            throw new IllegalStateException("the operation is in flight already");
        }
        operation.slot = OUTSIDE;
    }

    /** Remembers an operation that has ended already; its completion runs later in this turn. */
    @Override
    public final void end(IoOperation operation, int result) {
        if (endedCount == ended.length) {
            ended = Arrays.copyOf(ended, endedCount * 2);
            endedResults = Arrays.copyOf(endedResults, endedCount * 2);
        }
        operation.slot = OUTSIDE;
        ended[endedCount] = operation;
        endedResults[endedCount++] = result;
    }

    private void runEnded() {
        // Completions may end more operations: those wait for the next round.
        int count = endedCount;
        for (int i = 0; i < count; i++) {
            IoOperation operation = Objects.requireNonNull(ended[i]);
            operation.slot = -1;
            deliver(operation, endedResults[i]);
        }
        int rest = endedCount - count;
        System.arraycopy(ended, count, ended, 0, rest);
        System.arraycopy(endedResults, count, endedResults, 0, rest);
        Arrays.fill(ended, rest, endedCount, null);
        endedCount = rest;
    }

    final void deliver(IoOperation operation, int result) {
        try {
            operation.completed(result);
        } catch (RuntimeException | AssertionError defect) {
            Defects.log("the completion of an operation failed", defect);
        }
    }

    @Override
    public final void execute(Runnable command) {
        if (closed) {
            throw new RejectedExecutionException("the event loop is closed");
        }
        commands.offer(command);
        if (sleeping && Thread.currentThread() != thread) {
            wake();
        }
    }

    @Override
    public final boolean inLoop() {
        return Thread.currentThread() == thread;
    }

    @Override
    public final Timer schedule(long delayNanos, Runnable task) {
        return timers.schedule(nanoTime() + Math.max(0, delayNanos), task);
    }

    @Override
    public final Alarm alarm(Runnable task) {
        Timers.Entry entry = timers.idle(task);
        return new Alarm() {
            @Override
            public void set(long delayNanos) {
                timers.set(entry, nanoTime() + Math.max(0, delayNanos));
            }

            @Override
            public void cancel() {
                timers.unset(entry);
            }
        };
    }

    @Override
    public final void offload(BlockingWork work, IoOperation operation) {
        WorkerTask.other(this, work, operation);
    }

    @Override
    public final void close() {
        closed = true;
        wake();
        if (!inLoop()) {
            boolean interrupted = false;
            while (thread.isAlive()) {
                try {
                    thread.join();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
