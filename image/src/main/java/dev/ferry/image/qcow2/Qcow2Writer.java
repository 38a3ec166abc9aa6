package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import com.github.luben.zstd.Zstd;
import dev.ferry.block.BlockException;
import dev.ferry.block.Invariant;
import dev.ferry.image.ClusterPacker;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageWriter;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Writes a new image from its first cluster to its last in one pass, compressed or not. The file grows at its end
 * only; the map's tables lie between the clusters, the counts behind them, and the header is written last.
 *
 * <p>Compressed clusters follow each other byte by byte. Blocking code of the control plane; used once.
 */
public final class Qcow2Writer implements ImageWriter {
    private final FileBytes file;
    private final Qcow2Options options;
    private final long sizeBytes;
    private final int clusterBytes;
    private final long clusters;
    /** Clusters that an L2 table describes. */
    private final int perTable;

    private final FreshClusters counts;
    private final byte[] l1;
    private final byte[] table;
    private final boolean packs;
    /** Where what comes next goes. */
    private long end;

    private long next;
    private boolean tableUsed;

    /**
     * Begins an image; what the file held is lost.
     *
     * @param options of an image without a backing file or a data file, and not laid out
     * @param packs its clusters are compressed
     */
    public Qcow2Writer(FileBytes file, long sizeBytes, Qcow2Options options, boolean packs) throws BlockException {
        Invariant.that(
                options.backingName() == null && options.dataName() == null && !options.mapped(),
                "images that are written in one pass stand alone");
        this.packs = packs;
        this.file = file;
        this.options = options;
        this.sizeBytes = sizeBytes;
        this.clusterBytes = 1 << options.clusterBits();
        this.l1 = new byte[Qcow2Creator.l1Entries(file, sizeBytes, options) * 8];
        this.table = new byte[clusterBytes];
        Qcow2Header shape = Qcow2Creator.header(options, sizeBytes, l1.length / 8, 0, 0, 0);
        this.perTable = shape.tableEntries();
        this.counts = new FreshClusters(file, shape, new References(file));
        this.clusters = counts.clustersOf(sizeBytes);
        file.resize(0);
        counts.refer(0, 1);
        this.end = clusterBytes;
    }

    @Override
    public int clusterBytes() {
        return clusterBytes;
    }

    @Override
    public int packedBytesMax() {
        return Math.toIntExact(Math.max(clusterBytes, Zstd.compressBound(clusterBytes)));
    }

    @Override
    public @Nullable ClusterPacker packer() {
        return packs ? new Compressor(options, packedBytesMax()) : null;
    }

    @Override
    public void zeroes(long count) throws BlockException {
        Invariant.that(count <= clusters - next, "clusters of the disk");
        long until = next + count;
        while (next < until) {
            advanceTo(Math.min(until, (next / perTable + 1) * perTable));
        }
    }

    @Override
    public long place(int length) throws BlockException {
        Invariant.that(length > 0 && length <= clusterBytes && next < clusters, "a cluster that fits");
        if (length == clusterBytes) {
            long host = taken();
            entry(host | COPIED, true);
            return host;
        }
        long offset = end;
        long entry = packedEntry(offset, length, options.clusterBits());
        counts.refer(entry);
        end += length;
        entry(entry, false);
        return offset;
    }

    /** A cluster of its own at the end of the file. */
    private long taken() throws BlockException {
        long host = aligned();
        counts.refer(host, clusterBytes);
        end = host + clusterBytes;
        return host;
    }

    private long aligned() {
        return (end + clusterBytes - 1) & -clusterBytes;
    }

    /** @param plain all of it is there, and not compressed */
    private void entry(long entry, boolean plain) throws BlockException {
        int at = (int) (next % perTable) * (clusterBytes / perTable);
        u64(table, at, entry);
        if (plain && options.extendedL2()) {
            u64(table, at + Long.BYTES, Subclusters.ALL_ALLOCATED);
        }
        tableUsed = true;
        advanceTo(next + 1);
    }

    /** No further than to the end of the table. */
    private void advanceTo(long cluster) throws BlockException {
        next = cluster;
        if (next % perTable == 0 || next == clusters) {
            tableDone();
        }
    }

    private void tableDone() throws BlockException {
        if (tableUsed) {
            long host = taken();
            file.write(host, table);
            u64(l1, (int) ((next - 1) / perTable) * 8, host | COPIED);
            Arrays.fill(table, (byte) 0);
        }
        tableUsed = false;
    }

    @Override
    public void finish() throws BlockException {
        Invariant.that(next == clusters, "all clusters");
        end = aligned();
        long l1Offset = counts.write(l1);
        FreshClusters.Counted counted = counts.writeCounts();
        file.flush();
        Qcow2Header header = Qcow2Creator.header(
                options, sizeBytes, l1.length / 8, l1Offset, counted.tableOffset(), counted.tableClusters());
        file.write(0, header.encode(file));
        file.flush();
    }
}
