package dev.ferry.image.qcow2;

import dev.ferry.block.ExtentSink;
import dev.ferry.block.Invariant;

/**
 * How long the file of a qcow2 image gets that is to hold what another disk does: told of the extents of that disk, in order,
 * and then asked. Tables are counted for the whole disk, since whoever makes the image may have all of it written later.
 *
 * <p>Thread: any, one at a time. Nothing is allocated per extent.
 */
public final class Qcow2Measure implements ExtentSink {
    private static final int ENTRY_BYTES = 8;

    private final int l2EntryBytes;
    private final long sizeBytes;
    private final long clusterBytes;
    private final int refcountBits;
    private long dataClusters;
    /** Behind the last cluster that was counted. */
    private long counted;

    /** @param sizeBytes of the disk */
    public Qcow2Measure(long sizeBytes, Qcow2Options options) {
        Invariant.that(sizeBytes >= 0, "size of a disk");
        this.sizeBytes = sizeBytes;
        this.clusterBytes = 1L << options.clusterBits();
        this.refcountBits = 1 << options.refcountOrder();
        this.l2EntryBytes = options.extendedL2() ? 2 * ENTRY_BYTES : ENTRY_BYTES;
    }

    /** Counts the clusters that data lies in; zeroes and holes need none. */
    @Override
    public void extent(long offset, long length, int state) {
        if (state != 0 || length == 0) {
            return;
        }
        long from = Math.max(counted, offset / clusterBytes);
        long to = Math.ceilDiv(offset + length, clusterBytes);
        dataClusters += Math.max(0, to - from);
        counted = Math.max(counted, to);
    }

    /** With the data that was told of, in bytes. */
    public long requiredBytes() {
        return tableBytes() + dataClusters * clusterBytes;
    }

    /** With every cluster of the disk written, in bytes. */
    public long fullyAllocatedBytes() {
        return tableBytes() + diskClusters() * clusterBytes;
    }

    private long diskClusters() {
        return Math.ceilDiv(sizeBytes, clusterBytes);
    }

    private long tableBytes() {
        long entriesInCluster = clusterBytes / ENTRY_BYTES;
        long l2 = Math.ceilDiv(diskClusters(), clusterBytes / l2EntryBytes);
        long l1 = Math.ceilDiv(l2, entriesInCluster);
        long header = 1;
        long tables = header + l1 + l2;
        return (tables + refcountClusters(tables + diskClusters())) * clusterBytes;
    }

    /** Blocks of counts, and their table, which are counted themselves. */
    private long refcountClusters(long others) {
        long countsInBlock = clusterBytes * Byte.SIZE / refcountBits;
        long blocks = 0;
        long table = 0;
        while (true) {
            long neededBlocks = Math.ceilDiv(others + blocks + table, countsInBlock);
            long neededTable = Math.ceilDiv(neededBlocks, clusterBytes / ENTRY_BYTES);
            if (neededBlocks == blocks && neededTable == table) {
                return blocks + table;
            }
            blocks = neededBlocks;
            table = neededTable;
        }
    }
}
