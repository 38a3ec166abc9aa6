package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import org.jspecify.annotations.Nullable;

/**
 * The answer to one question for extents: goes through the map, asks the backing file where there is nothing, and stops
 * early after a number of them.
 */
final class ExtentWalk extends MapWalk implements Completion {
    private final boolean own;
    private long belowReached;

    /** @param own the backing file is not asked: what comes from there is a {@link ExtentSink#HOLE} that is no zero */
    ExtentWalk(Qcow2Device device, long offset, long length, boolean own, ExtentSink sink, Completion completion) {
        super(device, offset, length, sink, completion);
        this.own = own;
    }

    /** The backing file has answered. */
    @Override
    public void complete(@Nullable BlockError problem) {
        position = belowReached;
        resume(problem);
    }

    @Override
    boolean step() {
        while (moreSlices()) {
            long cluster = position >>> device.clusterBits;
            int table = (int) (cluster >>> device.tableBits);
            if (!device.l1.present(table)) {
                long tableEnd = ((cluster >>> device.tableBits) + 1) << (device.tableBits + device.clusterBits);
                if (unallocated(Math.min(end, tableEnd))) {
                    return false;
                }
                continue;
            }
            MapSlice slice = device.cache.slice(cluster >>> device.sliceBits, this);
            if (slice == null) {
                return false;
            }
            sliceTaken();
            if (device.extended ? inParts(slice) : inSlice(slice, cluster)) {
                return false;
            }
        }
        return true;
    }

    /** @return true if the backing file has been asked */
    private boolean inSlice(MapSlice slice, long cluster) {
        for (int i = device.indexInSlice(cluster); i < slice.entries.length && position < end; i++) {
            long clusterEnd = Math.min(end, ((position >>> device.clusterBits) + 1) << device.clusterBits);
            switch (device.kind(slice.entries[i])) {
                case UNALLOCATED -> {
                    long runEnd = clusterEnd;
                    while (++i < slice.entries.length && runEnd < end && device.kind(slice.entries[i]) == UNALLOCATED) {
                        runEnd = Math.min(end, runEnd + device.clusterMask + 1);
                    }
                    i--;
                    if (unallocated(runEnd)) {
                        return true;
                    }
                    if (position < runEnd) {
                        return false;
                    }
                }
                case ZERO_PLAIN -> report(clusterEnd, ExtentSink.HOLE | ExtentSink.ZERO);
                case ZERO_ALLOCATED -> report(clusterEnd, ExtentSink.ZERO);
                case NORMAL -> {
                    if (!device.external) {
                        report(clusterEnd, 0);
                        break;
                    }
                    long runEnd = clusterEnd;
                    while (++i < slice.entries.length && runEnd < end && device.kind(slice.entries[i]) == NORMAL) {
                        runEnd = Math.min(end, runEnd + device.clusterMask + 1);
                    }
                    return stored(runEnd);
                }
                default -> report(clusterEnd, 0);
            }
        }
        return false;
    }

    /**
     * What is in a data file has its holes there.
     *
     * @return true if that has been asked for what is up to there, or a first part of it
     */
    private boolean stored(long runEnd) {
        long there = Math.min(runEnd, device.store.lengthBytes());
        if (position >= there) {
            report(runEnd, ExtentSink.HOLE | ExtentSink.ZERO);
            return false;
        }
        belowReached = position;
        device.store.extents(position, there - position, this::below, this);
        return true;
    }

    /** The same, where clusters have parts. */
    private boolean inParts(MapSlice slice) {
        long first = position >>> device.sliceBits >>> device.clusterBits;
        while (more() && position >>> device.sliceBits >>> device.clusterBits == first) {
            long cluster = position >>> device.clusterBits;
            long clusterEnd = Math.min(end, (cluster + 1) << device.clusterBits);
            switch (device.kind(slice, device.indexInSlice(cluster), device.partOf(position))) {
                case UNALLOCATED -> {
                    long runEnd = Subclusters.runEnd(device, slice, position, end);
                    if (unallocated(runEnd)) {
                        return true;
                    }
                    if (position < runEnd) {
                        return false;
                    }
                }
                case ZERO_PLAIN ->
                    report(Subclusters.runEnd(device, slice, position, clusterEnd), ExtentSink.HOLE | ExtentSink.ZERO);
                case ZERO_ALLOCATED -> report(Subclusters.runEnd(device, slice, position, clusterEnd), ExtentSink.ZERO);
                case NORMAL -> {
                    long runEnd = Subclusters.runEnd(device, slice, position, end);
                    if (device.external) {
                        return stored(runEnd);
                    }
                    report(runEnd, 0);
                }
                default -> report(clusterEnd, 0);
            }
        }
        return false;
    }

    /** @return true if the backing file has been asked for what is up to there, or a first part of it */
    private boolean unallocated(long runEnd) {
        BlockDevice backing = device.backing;
        long backed = Math.min(runEnd, device.backingBytes());
        if (backing == null || position >= backed) {
            report(runEnd, ExtentSink.HOLE | ExtentSink.ZERO);
            return false;
        }
        if (own) {
            report(backed, ExtentSink.HOLE);
            return false;
        }
        belowReached = position;
        backing.extents(position, backed - position, this::below, this);
        return true;
    }

    private void below(long offset, long length, int state) {
        position = offset;
        report(offset + length, state);
        belowReached = offset + length;
    }
}
