package dev.ferry.stack;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.Loop;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * The bridge from the control plane, which blocks, to a loop, which must not: runs a command on the loop and waits for
 * what comes of it. Never called on a loop.
 */
public final class OnLoop {
    private OnLoop() {}

    /** Runs a command on the loop and gives what it gave; what it throws is thrown here. */
    public static <T> T get(Loop loop, Supplier<T> command) throws BlockException {
        CompletableFuture<T> answer = new CompletableFuture<>();
        submit(loop, answer, () -> answer.complete(command.get()));
        return join(answer);
    }

    /** Runs a command on the loop and waits until it has run. */
    public static void run(Loop loop, Runnable command) throws BlockException {
        CompletableFuture<Boolean> answer = new CompletableFuture<>();
        submit(loop, answer, () -> {
            command.run();
            answer.complete(true);
        });
        join(answer);
    }

    /** Submits a request on the loop and waits for its end. */
    public static void await(Loop loop, Consumer<Completion> request) throws BlockException {
        join(start(loop, request));
    }

    /**
     * The same, for a request that may never end.
     *
     * @return false if it has not ended in time; it may end yet
     */
    public static boolean await(Loop loop, long timeoutNanos, Consumer<Completion> request) throws BlockException {
        CompletableFuture<Boolean> answer = start(loop, request);
        try {
            answer.get(timeoutNanos, TimeUnit.NANOSECONDS);
            return true;
        } catch (TimeoutException e) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        } catch (ExecutionException e) {
            throw unwrapped(e);
        }
    }

    /** Submits a request on the loop; the future ends when it ends, and fails with a {@link BlockException}. */
    public static CompletableFuture<Boolean> start(Loop loop, Consumer<Completion> request) {
        CompletableFuture<Boolean> answer = new CompletableFuture<>();
        submit(
                loop,
                answer,
                () -> request.accept(error -> {
                    if (error == null) {
                        answer.complete(true);
                    } else {
                        answer.completeExceptionally(error.toException());
                    }
                }));
        return answer;
    }

    /** Waits for an answer from a loop, whatever interrupts. */
    public static <T> T join(CompletableFuture<T> answer) throws BlockException {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return answer.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                } catch (ExecutionException e) {
                    throw unwrapped(e);
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static void submit(Loop loop, CompletableFuture<?> answer, Runnable command) {
        Invariant.that(!loop.inLoop(), "waiting for a loop on itself");
        try {
            loop.execute(() -> {
                try {
                    command.run();
                } catch (RuntimeException e) {
                    answer.completeExceptionally(e);
                }
            });
        } catch (RejectedExecutionException e) {
            answer.completeExceptionally(BlockError.of(ErrorKind.CLOSED, "the disk's loop", "command", "it has ended")
                    .toException());
        }
    }

    private static BlockException unwrapped(ExecutionException failure) {
        if (failure.getCause() instanceof BlockException block) {
            return block;
        }
        throw new IllegalStateException("a command on a loop failed", failure);
    }
}
