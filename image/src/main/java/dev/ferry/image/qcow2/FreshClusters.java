package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.util.Arrays;

/**
 * The clusters of an image that nobody uses and that is changed over to another state: hands out those that neither the old
 * state nor the new one refers to, and writes the counts of the new one. Blocking code of the control plane.
 */
final class FreshClusters {
    private final FileBytes file;
    private final Qcow2Header header;
    private final References old;

    /** Who is referred to in the new state. */
    final References fresh;

    private long cursor = 1;

    FreshClusters(FileBytes file, Qcow2Header header, References old) {
        this.file = file;
        this.header = header;
        this.old = old;
        this.fresh = new References(file);
    }

    /** Counts all clusters that a range of bytes touches. */
    void refer(long offset, long bytes) throws BlockException {
        long end = offset + bytes;
        for (long cluster = offset >>> header.clusterBits(); cluster << header.clusterBits() < end; cluster++) {
            fresh.add(cluster);
        }
    }

    /** Counts what an entry of an L2 table refers to. */
    void refer(long entry) throws BlockException {
        if (header.external()) {
            return;
        }
        switch (header.kind(entry)) {
            case NORMAL, ZERO_ALLOCATED -> fresh.add(hostOffset(entry) >>> header.clusterBits());
            case PACKED ->
                refer(packedOffset(entry, header.clusterBits()), packedBytesMax(entry, header.clusterBits()));
            default -> {}
        }
    }

    /** The entry with its flag as the new counts want it. */
    long flagged(long entry) throws BlockException {
        if (header.external()) {
            return entry;
        }
        int kind = header.kind(entry);
        return kind == NORMAL || kind == ZERO_ALLOCATED ? withFlag(entry) : entry;
    }

    /** The same for an entry that is known to name a cluster. */
    long withFlag(long entry) throws BlockException {
        boolean one = fresh.count(hostOffset(entry) >>> header.clusterBits()) == 1;
        return one ? entry | COPIED : entry & ~COPIED;
    }

    private boolean free(long cluster) throws BlockException {
        return old.count(cluster) == 0 && fresh.count(cluster) == 0;
    }

    /** Where so many clusters lie side by side that nobody refers to, from some place on; behind the end everything is free. */
    private long run(long from, long clusters) throws BlockException {
        long start = from;
        for (long at = from; at < start + clusters; at++) {
            if (!free(at)) {
                start = at + 1;
            }
        }
        return start;
    }

    /** Takes clusters that lie side by side; gives the offset of the first. */
    long take(long clusters) throws BlockException {
        long start = run(clusters == 1 ? cursor : 1, clusters);
        for (long cluster = start; cluster < start + clusters; cluster++) {
            fresh.add(cluster);
        }
        if (clusters == 1) {
            cursor = start + 1;
        }
        return start << header.clusterBits();
    }

    long clustersOf(long bytes) {
        return (bytes + header.clusterBytes() - 1) >>> header.clusterBits();
    }

    /** Writes bytes to clusters of their own, with zeroes behind; gives where. */
    long write(byte[] bytes) throws BlockException {
        long clusters = Math.max(1, clustersOf(bytes.length));
        long offset = take(clusters);
        byte[] whole = Arrays.copyOf(bytes, Math.toIntExact(clusters << header.clusterBits()));
        file.write(offset, whole);
        return offset;
    }

    /** Where the counts of the new state are. */
    record Counted(long tableOffset, int tableClusters) {}

    /** Writes table and blocks anew, in one piece; nothing may be taken after that. */
    Counted writeCounts() throws BlockException {
        int bits = header.clusterBits();
        long perBlock = header.countsInBlock();
        long highest = fresh.highest();
        long blocks = highest / perBlock + 1;
        long tableClusters = clustersOf(blocks * 8);
        while (true) {
            long end = Math.max(highest + 1, run(1, blocks + tableClusters) + blocks + tableClusters);
            long blocksNeeded = (end + perBlock - 1) / perBlock;
            long tableNeeded = clustersOf(blocksNeeded * 8);
            if (blocksNeeded <= blocks && tableNeeded <= tableClusters) {
                break;
            }
            blocks = Math.max(blocks, blocksNeeded);
            tableClusters = Math.max(tableClusters, tableNeeded);
        }
        if (tableClusters << bits > REFCOUNT_TABLE_BYTES_MAX) {
            throw Qcow2Header.flaw(file, ErrorKind.UNSUPPORTED, "its refcount table would become too long");
        }
        long tableOffset = take(tableClusters + blocks);
        byte[] table = new byte[(int) (tableClusters << bits)];
        for (int i = 0; i < blocks; i++) {
            long offset = tableOffset + ((tableClusters + i) << bits);
            byte[] counts = new byte[(int) header.clusterBytes()];
            for (int k = 0; k < perBlock; k++) {
                int count = fresh.count(i * perBlock + k);
                if (count > Counts.most(header.refcountOrder()) || count == References.MOST) {
                    throw Qcow2Header.flaw(
                            file,
                            ErrorKind.UNSUPPORTED,
                            "a cluster would be shared by " + count + ", more than its refcounts of "
                                    + (1 << header.refcountOrder()) + " bits can say");
                }
                Counts.set(counts, k, header.refcountOrder(), count);
            }
            file.write(offset, counts);
            u64(table, i * 8, offset);
        }
        file.write(tableOffset, table);
        return new Counted(tableOffset, (int) tableClusters);
    }

    /** Where the file may end in the new state. */
    long endOffset() {
        return (fresh.highest() + 1) << header.clusterBits();
    }
}
