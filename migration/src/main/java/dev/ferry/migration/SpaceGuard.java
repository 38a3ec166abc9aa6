package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.datastore.Space;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Watches the room at a move's target: below the low-water mark the copying stops, and once there is twice as much it goes
 * on, so that it is not the guest's writes that fill the last of it. A store that does not answer is not waited for.
 *
 * <p>Thread: that of the move; the store is asked on a worker's.
 */
final class SpaceGuard {
    private static final Logger LOG = LoggerFactory.getLogger(SpaceGuard.class);
    private static final long EVERY_NANOS = 1_000_000_000L;
    private static final long LOW_BYTES_MAX = 1L << 30;
    private static final int LOW_PART = 50;

    /** Asks the store. */
    @FunctionalInterface
    interface Store {
        Space space() throws BlockException;
    }

    private final Store store;
    private final Executor workers;
    private long lastNanos;
    private boolean asked;
    private volatile boolean asking;
    private volatile @Nullable Space found;

    SpaceGuard(Store store, Executor workers) {
        this.store = store;
        this.workers = workers;
    }

    /** The mark for a store of this size: the fiftieth part, at most 1 GiB. */
    static long lowBytes(long totalBytes) {
        return Math.min(totalBytes / LOW_PART, LOW_BYTES_MAX);
    }

    /** Looks now and then. */
    void look(long nowNanos) {
        if (asking || (asked && nowNanos - lastNanos < EVERY_NANOS)) {
            return;
        }
        asked = true;
        asking = true;
        lastNanos = nowNanos;
        workers.execute(() -> {
            try {
                found = store.space();
            } catch (BlockException e) {
                LOG.debug("room at the target is not known", e);
                found = null;
            } finally {
                asking = false;
            }
        });
    }

    /** True if there is too little room to go on copying. */
    boolean low() {
        Space space = found;
        return space != null && space.freeBytes() < lowBytes(space.totalBytes());
    }

    /** True if there is room enough to begin again. */
    boolean enough() {
        Space space = found;
        return space == null || space.freeBytes() >= 2 * lowBytes(space.totalBytes());
    }

    String words() {
        Space space = found;
        return space == null
                ? "room at the target is not known"
                : space.freeBytes() + " bytes are free at the target, fewer than the " + lowBytes(space.totalBytes())
                        + " that are to stay free";
    }
}
