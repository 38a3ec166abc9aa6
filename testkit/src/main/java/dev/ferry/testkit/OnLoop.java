package dev.ferry.testkit;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.Loop;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Runs commands on a loop, real or simulated, and waits for what comes of them. */
public final class OnLoop {
    private static final long REAL_SECONDS_MAX = 60;

    private OnLoop() {}

    /** Runs a command that ends by a completion, and gives its error, or null. */
    public static @Nullable BlockError await(Loop loop, Consumer<Completion> command) {
        CountDownLatch ended = new CountDownLatch(1);
        AtomicReference<@Nullable BlockError> result = new AtomicReference<>();
        AtomicReference<@Nullable Throwable> thrown = new AtomicReference<>();
        loop.execute(() -> {
            try {
                command.accept(error -> {
                    if (ended.getCount() == 0) {
                        thrown.set(new AssertionError("a request ended twice"));
                    }
                    result.set(error);
                    ended.countDown();
                });
            } catch (RuntimeException | AssertionError failure) {
                thrown.set(failure);
                ended.countDown();
            }
        });
        if (loop instanceof SimLoop simulated) {
            simulated.runUntil(() -> ended.getCount() == 0, Long.MAX_VALUE);
        }
        try {
            long seconds = loop instanceof SimLoop ? 0 : REAL_SECONDS_MAX;
            if (!ended.await(seconds, TimeUnit.SECONDS)) {
                throw new AssertionError("a request did not end");
            }
        } catch (InterruptedException interrupted) {
            throw new AssertionError("interrupted", interrupted);
        }
        Throwable failure = thrown.get();
        if (failure != null) {
            throw new AssertionError(failure.getMessage(), failure);
        }
        return result.get();
    }
}
