package dev.ferry.server;

import dev.ferry.block.BlockException;
import dev.ferry.stack.OnLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * Transfers that share a disk, side by side ({@link Transfer#sharing}): each begins as soon as it is there, and when one fails, the
 * others are stopped. Thread: one, but for {@link #doneBytes}; calls block.
 */
public final class Transfers {
    private final List<Transfer> all = new CopyOnWriteArrayList<>();
    private final List<CompletableFuture<Boolean>> ends = new ArrayList<>();
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    /** Has one more begin, and returns. */
    public void begin(Transfer transfer) throws BlockException {
        all.add(transfer);
        ends.add(transfer.begin().exceptionally(problem -> {
            failure.compareAndSet(null, problem);
            all.forEach(Transfer::stop);
            return false;
        }));
        if (failure.get() != null) {
            transfer.stop();
        }
    }

    /**
     * Waits until all have ended.
     *
     * @throws BlockException what the first of them to fail has failed with
     */
    public void join() throws BlockException {
        for (CompletableFuture<Boolean> end : ends) {
            OnLoop.join(end);
        }
        Throwable first = failure.get();
        if (first != null) {
            OnLoop.join(CompletableFuture.failedFuture(first));
        }
    }

    /** Bytes of the disk that are dealt with. Any thread. */
    public long doneBytes() {
        return all.stream().mapToLong(Transfer::doneBytes).sum();
    }
}
