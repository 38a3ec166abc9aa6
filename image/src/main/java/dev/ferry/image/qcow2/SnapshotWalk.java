package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import org.jspecify.annotations.Nullable;

/**
 * The answer to one question for what a disk has of its own, where it is compared with tables of internal snapshots: what lies where
 * they have it, or reads as zeroes or as the backing file both times, is a {@link ExtentSink#HOLE} that is no zero. Stops early after a
 * number of extents.
 */
final class SnapshotWalk extends MapWalk {
    private final L1Table thenL1;
    private final MapCache thenCache;

    SnapshotWalk(
            Qcow2Device device,
            L1Table thenL1,
            MapCache thenCache,
            long offset,
            long length,
            ExtentSink sink,
            Completion completion) {
        super(device, offset, length, sink, completion);
        this.thenL1 = thenL1;
        this.thenCache = thenCache;
    }

    @Override
    boolean step() {
        while (moreSlices()) {
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
            sliceTaken();
            inSlice(now, then);
        }
        return true;
    }

    private void inSlice(@Nullable MapSlice now, @Nullable MapSlice then) {
        long slice = position >>> device.sliceBits >>> device.clusterBits;
        while (more() && position >>> device.sliceBits >>> device.clusterBits == slice) {
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
}
