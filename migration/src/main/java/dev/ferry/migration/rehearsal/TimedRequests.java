package dev.ferry.migration.rehearsal;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.Loop;
import dev.ferry.stack.OnLoop;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * Requests to a device, one after the other, each of them timed: no more than so many, for no longer than so long. A gentle run
 * rests after each request for as long as it took.
 *
 * <p>Thread: the loop's; {@link #run} is called from elsewhere and waits.
 */
final class TimedRequests implements Completion {
    /** Submits one of them. */
    @FunctionalInterface
    interface Request {
        void submit(int number, Completion ended);
    }

    private final Loop loop;
    private final long nanosMax;
    private final boolean gentle;
    private final Request request;
    private final CompletableFuture<long[]> done = new CompletableFuture<>();
    private final long[] nanos;
    private int ended;
    private long beganNanos;
    private long startedNanos;

    private TimedRequests(Loop loop, int countMax, long nanosMax, boolean gentle, Request request) {
        this.loop = loop;
        this.nanosMax = nanosMax;
        this.gentle = gentle;
        this.request = request;
        this.nanos = new long[countMax];
    }

    /**
     * Does them, and waits for the last.
     *
     * @param bytes in each
     * @throws BlockException of the first that failed
     */
    static Times run(Loop loop, int countMax, long nanosMax, boolean gentle, long bytes, Request request)
            throws BlockException {
        if (countMax <= 0) {
            return new Times(new long[0], bytes);
        }
        TimedRequests requests = new TimedRequests(loop, countMax, nanosMax, gentle, request);
        OnLoop.run(loop, requests::begin);
        return new Times(OnLoop.join(requests.done), bytes);
    }

    private void begin() {
        beganNanos = loop.nanoTime();
        next();
    }

    private void next() {
        startedNanos = loop.nanoTime();
        request.submit(ended, this);
    }

    @Override
    public void complete(@Nullable BlockError error) {
        long now = loop.nanoTime();
        if (error != null) {
            done.completeExceptionally(error.toException());
            return;
        }
        long took = now - startedNanos;
        nanos[ended++] = took;
        if (ended == nanos.length || now - beganNanos >= nanosMax) {
            done.complete(Arrays.copyOf(nanos, ended));
        } else if (gentle) {
            loop.schedule(took, this::next);
        } else {
            loop.execute(this::next);
        }
    }
}
