package dev.ferry.migration;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Loop;
import dev.ferry.filter.LatencyWatch;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.copy.DifferingRange;
import dev.ferry.migration.copy.FileCopy;
import dev.ferry.migration.copy.PaceController;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.util.Objects;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One file below disks on its way to the target, or being compared with what is there: beside the guest of one of the disks, at the rate
 * of the move, held up when that is paused or has no room. Thread: that of the move, except what is marked.
 */
final class BaseTransfer {
    private static final Logger LOG = LoggerFactory.getLogger(BaseTransfer.class);
    /** How long a target may take to end what it was asked. */
    private static final long IDLE_NANOS_MAX = 2_000_000_000L;

    /**
     * How it ended.
     *
     * @param digest of the bytes; null where they were not compared, or are not equal
     * @param differs the target holds other bytes
     * @param failure what it failed with; null if it came to its end
     * @param ofTarget it is the target that failed
     */
    record Result(
            @Nullable String digest,
            boolean differs,
            @Nullable BlockError failure,
            boolean ofTarget) {}

    private final Move move;
    private final Parking parking;
    private final Executor workers;
    private final OpenDisk disk;
    private final Loop loop;
    private final BlockDevice source;
    private final DiskSide target;
    private @Nullable Result result;
    private long rate;
    private boolean held;
    private volatile long doneBytes;

    /**
     * @param disk one that lies over the file, on whose loop this is done
     * @param target open on that loop; closed when this ends, as soon as it has nothing in flight
     */
    BaseTransfer(Move move, Parking parking, Executor workers, OpenDisk disk, BlockDevice source, DiskSide target) {
        this.move = move;
        this.parking = parking;
        this.workers = workers;
        this.disk = disk;
        this.loop = disk.loop().loop();
        this.source = source;
        this.target = target;
    }

    /** Any thread. */
    long doneBytes() {
        return doneBytes;
    }

    /**
     * Copies, compares, or both.
     *
     * @throws CalledOff if the move is, or the process ends; nothing of this is in flight then
     */
    Result run(boolean copies, boolean compares) throws BlockException, CalledOff {
        FileCopy begun = OnLoop.get(loop, () -> {
            LatencyWatch watch = new LatencyWatch();
            disk.watch(watch);
            PaceController controller = new PaceController(loop, watch, move.pace());
            return new FileCopy(loop, disk.loop().buffers(), source, target.device(), workers, controller, new Told());
        });
        try {
            steer(begun);
            OnLoop.run(loop, () -> {
                if (copies) {
                    begun.copy(compares);
                } else {
                    begun.compare();
                }
            });
            move.until(() -> {
                steer(begun);
                return result != null;
            });
            return Objects.requireNonNull(result);
        } catch (BlockException | CalledOff e) {
            OnLoop.run(loop, begun::stop);
            while (result == null) {
                move.handleOne();
            }
            throw e;
        } finally {
            close(begun);
        }
    }

    private void steer(FileCopy begun) {
        try {
            boolean hold = move.paused() || parking.spaceLow();
            long bound = move.rateBytesPerSecond();
            if (hold != held) {
                held = hold;
                OnLoop.run(loop, hold ? begun::pause : begun::resume);
            }
            if (bound != rate) {
                rate = bound;
                OnLoop.run(loop, () -> begun.rate(bound));
            }
            doneBytes = OnLoop.get(loop, begun::doneBytes);
        } catch (BlockException e) {
            move.fail(e);
        }
    }

    private void close(FileCopy begun) throws BlockException {
        OnLoop.run(loop, () -> disk.watch(null));
        boolean idle = OnLoop.await(loop, IDLE_NANOS_MAX, begun::detach);
        if (idle) {
            target.close();
        } else {
            LOG.warn("{} does not answer; it is left to itself", target.spec().shownAs());
        }
    }

    private void end(Result how) {
        move.post(() -> result = how);
    }

    /** On the loop. */
    private final class Told implements FileCopy.Ending {
        @Override
        public void equal(@Nullable String digest) {
            end(new Result(digest, false, null, false));
        }

        @Override
        public void differs(DifferingRange first) {
            LOG.warn("{} differs in {} bytes at {}", target.spec().shownAs(), first.length(), first.offset());
            end(new Result(null, true, null, false));
        }

        @Override
        public void failed(BlockError why, boolean ofTarget) {
            end(new Result(null, false, why, ofTarget));
        }
    }
}
