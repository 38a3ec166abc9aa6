package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.Invariant;
import dev.ferry.image.Appender;
import dev.ferry.image.ClusterPacker;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageWriter;
import java.util.Arrays;

/**
 * Writes a new image from its first cluster to its last in one pass, each as it was compressed. The file grows at its end
 * only; the map's tables lie between the clusters, the counts behind them, and the header is written last.
 *
 * <p>Compressed clusters follow each other byte by byte. Blocking code of the control plane; used once.
 */
public final class Qcow2Packer implements ImageWriter {
    private final FileBytes file;
    private final Qcow2Options options;
    private final long sizeBytes;
    private final int clusterBytes;
    private final long clusters;
    private final FreshClusters counts;
    private final byte[] l1;
    private final byte[] table;
    private final Appender end;
    private long next;
    private boolean tableUsed;

    /**
     * Begins an image; what the file held is lost.
     *
     * @param options of an image without a backing file, and not laid out
     */
    public Qcow2Packer(FileBytes file, long sizeBytes, Qcow2Options options) throws BlockException {
        Invariant.that(options.backingName() == null && !options.mapped(), "packed images stand alone");
        this.file = file;
        this.options = options;
        this.sizeBytes = sizeBytes;
        this.clusterBytes = 1 << options.clusterBits();
        this.l1 = new byte[Qcow2Creator.l1Entries(file, sizeBytes, options) * 8];
        this.table = new byte[clusterBytes];
        Qcow2Header shape = Qcow2Creator.header(options, sizeBytes, l1.length / 8, 0, 0, 0);
        this.counts = new FreshClusters(file, shape, new References(file));
        this.clusters = counts.clustersOf(sizeBytes);
        file.resize(0);
        counts.refer(0, 1);
        this.end = new Appender(file, clusterBytes);
    }

    @Override
    public int clusterBytes() {
        return clusterBytes;
    }

    @Override
    public int packedBytesMax() {
        return clusterBytes;
    }

    @Override
    public ClusterPacker packer() {
        return new Compressor(options);
    }

    @Override
    public void zeroes(long count) throws BlockException {
        for (long i = 0; i < count; i++) {
            advance(0);
        }
    }

    @Override
    public void cluster(byte[] bytes, int at, int length) throws BlockException {
        Invariant.that(length > 0 && length <= clusterBytes && next < clusters, "a cluster that fits");
        if (length == clusterBytes) {
            end.align(clusterBytes);
            long host = end.offset();
            counts.refer(host, clusterBytes);
            end.append(bytes, at, length);
            advance(host | COPIED);
            return;
        }
        long entry = packedEntry(end.offset(), length, options.clusterBits());
        counts.refer(entry);
        end.append(bytes, at, length);
        advance(entry);
    }

    private void advance(long entry) throws BlockException {
        int index = (int) (next % (clusterBytes / 8));
        u64(table, index * 8, entry);
        tableUsed |= entry != 0;
        next++;
        if (next % (clusterBytes / 8) == 0 || next == clusters) {
            tableDone();
        }
    }

    private void tableDone() throws BlockException {
        if (tableUsed) {
            end.align(clusterBytes);
            long host = end.offset();
            counts.refer(host, clusterBytes);
            end.append(table, 0, clusterBytes);
            u64(l1, (int) ((next - 1) / (clusterBytes / 8)) * 8, host | COPIED);
        }
        Arrays.fill(table, (byte) 0);
        tableUsed = false;
    }

    @Override
    public void finish() throws BlockException {
        Invariant.that(next == clusters, "all clusters");
        end.align(clusterBytes);
        end.writeOut();
        long l1Offset = counts.write(l1);
        FreshClusters.Counted counted = counts.writeCounts();
        file.flush();
        Qcow2Header header = Qcow2Creator.header(
                options, sizeBytes, l1.length / 8, l1Offset, counted.tableOffset(), counted.tableClusters());
        file.write(0, header.encode(file));
        file.flush();
    }
}
