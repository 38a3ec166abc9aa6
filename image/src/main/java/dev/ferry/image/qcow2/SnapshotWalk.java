package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import org.jspecify.annotations.Nullable;

/**
 * The answer to one question for what a disk has of its own, where it is compared with tables of internal snapshots: what lies where
 * they have it, or reads as zeroes or as the backing file both times, is a {@link ExtentSink#HOLE} that is no zero. Stops early after a
 * number of extents.
 */
final class SnapshotWalk extends Waiter {
    private static final int EXTENTS_MAX = 2048;
    private static final int SLICES_MAX = 256;
    private static final int NOTHING = -1;

    private final Qcow2Device device;
    private final L1Table thenL1;
    private final MapCache thenCache;
    private final ExtentSink sink;
    private final Completion completion;
    private final long end;
    private long position;
    private long extentFrom;
    private int extentState = NOTHING;
    private int extents;
    private int slices;
    private boolean advancing;
    private boolean again;
    private @Nullable BlockError error;

    SnapshotWalk(
            Qcow2Device device,
            L1Table thenL1,
            MapCache thenCache,
            long offset,
            long length,
            ExtentSink sink,
            Completion completion) {
        this.device = device;
        this.thenL1 = thenL1;
        this.thenCache = thenCache;
        this.sink = sink;
        this.completion = completion;
        this.position = offset;
        this.extentFrom = offset;
        this.end = offset + length;
    }

    void advance() {
        again = true;
        if (advancing) {
            return;
        }
        advancing = true;
        boolean done = false;
        while (again && !done) {
            again = false;
            done = error != null || step();
        }
        advancing = false;
        if (done) {
            if (error == null) {
                emit();
            }
            completion.complete(error);
        }
    }

    @Override
    void resume(@Nullable BlockError problem) {
        error = problem;
        advance();
    }

    @Override
    void mapWritten(@Nullable BlockError problem) {
        throw new IllegalStateException("a question does not wait for the map");
    }

    /** @return false if something has to be waited for */
    private boolean step() {
        while (position < end && extents < EXTENTS_MAX && slices < SLICES_MAX) {
            long cluster = position >>> device.clusterBits;
            int table = (int) (cluster >>> device.tableBits);
            boolean one = hostOffset(device.l1.entry(table)) == hostOffset(thenL1.entry(table));
            if (one && !(device.l1.present(table) && device.l1.owned(table))) {
                report(Math.min(end, (table + 1L) << (device.tableBits + device.clusterBits)), ExtentSink.HOLE);
                continue;
            }
            MapSlice now = null;
            MapSlice then = null;
            if (thenL1.present(table)) {
                then = thenCache.slice(cluster >>> device.sliceBits, this);
                if (then == null) {
                    return false;
                }
            }
            if (device.l1.present(table)) {
                now = device.cache.slice(cluster >>> device.sliceBits, this);
                if (now == null) {
                    return false;
                }
            }
            slices++;
            inSlice(now, then);
        }
        return true;
    }

    private void inSlice(@Nullable MapSlice now, @Nullable MapSlice then) {
        long slice = position >>> device.sliceBits >>> device.clusterBits;
        while (position < end
                && extents < EXTENTS_MAX
                && position >>> device.sliceBits >>> device.clusterBits == slice) {
            int index = device.indexInSlice(position >>> device.clusterBits);
            long partEnd = Math.min(end, ((position >>> device.partBits) + 1) << device.partBits);
            int nowKind = kind(now, index);
            report(partEnd, same(now, then, index, nowKind) ? ExtentSink.HOLE : state(nowKind));
        }
    }

    private int kind(@Nullable MapSlice slice, int index) {
        return slice == null ? UNALLOCATED : device.kind(slice, index, device.partOf(position));
    }

    /** A table of a snapshot that the disk has left may say that a cluster is its alone; of a disk's entry that would be no snapshot's. */
    private boolean same(@Nullable MapSlice now, @Nullable MapSlice then, int index, int nowKind) {
        int thenKind = kind(then, index);
        return switch (nowKind) {
            case UNALLOCATED -> thenKind == UNALLOCATED;
            case ZERO_PLAIN, ZERO_ALLOCATED -> thenKind == ZERO_PLAIN || thenKind == ZERO_ALLOCATED;
            case NORMAL, PACKED ->
                now != null
                        && then != null
                        && thenKind == nowKind
                        && now.entries[index] == (then.entries[index] & ~COPIED);
            default -> false;
        };
    }

    /** What shows through from below is data here: the other side may have something else before it. */
    private int state(int kind) {
        return switch (kind) {
            case UNALLOCATED -> device.backed(position >>> device.clusterBits) ? 0 : ExtentSink.HOLE | ExtentSink.ZERO;
            case ZERO_PLAIN -> ExtentSink.HOLE | ExtentSink.ZERO;
            case ZERO_ALLOCATED -> ExtentSink.ZERO;
            default -> 0;
        };
    }

    private void report(long to, int state) {
        if (state != extentState) {
            emit();
            extentFrom = position;
            extentState = state;
        }
        position = to;
    }

    private void emit() {
        if (extentState != NOTHING && position > extentFrom) {
            sink.extent(extentFrom, position - extentFrom, extentState);
            extents++;
        }
    }
}
