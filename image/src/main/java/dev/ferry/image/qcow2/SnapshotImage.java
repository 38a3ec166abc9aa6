package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Header.flaw;
import static dev.ferry.image.qcow2.Qcow2Header.sound;
import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.FileBytes;
import dev.ferry.image.FilePatch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * An image that holds the internal snapshots of another one, which may be in use, and of its disk what that has in common with them:
 * what a disk begins with that moves together with its snapshots.
 *
 * <pre>
 *   0        a new header                                                     made
 *   ...      all that a snapshot refers to, at the same place: the snapshot   kept
 *            table, L1 and L2 tables, data, compressed data, machine states
 *   ...      what only the disk refers to, and what nobody does               free: zeroes
 *   tail     L1 table: tables of snapshots ({@link SnapshotTables})           made
 *            refcount table, a block for every part of the file               made
 * </pre>
 *
 * So no table of a snapshot changes by a byte, whatever it says (but that those which the disk begins with say no more that a cluster
 * counts one), and what snapshots share they share as before. What is free is filled
 * by what the disk gets later. Nobody changes what a snapshot refers to, so the image is the same whenever it is read.
 *
 * <p>Made by blocking code of the control plane, at a cost of two bytes of memory for each cluster that is kept; then read only, by one
 * thread at a time.
 */
public final class SnapshotImage implements FilePatch {
    /** Flags of an entry, in the first of its bytes. */
    private static final int COPIED_BYTE = (int) (COPIED >>> 56);

    private static final int PACKED_BYTE = (int) (COMPRESSED >>> 56);

    private final FileBytes file;
    private final Qcow2Header header;
    private final References references;
    private final long clusterBytes;
    private final long tail;
    private final long end;
    private final long keptClusters;
    /** Clusters of the tables that the disk begins with. */
    private final Set<Long> begun = new HashSet<>();

    private final byte[] first;
    private final byte[] l1;
    private final long tableAt;
    private final long blocksAt;

    private SnapshotImage(FileBytes file, SnapshotTables tables, @Nullable Below below) throws BlockException {
        this.file = file;
        this.header = Qcow2Header.read(file);
        this.references = new References(file);
        this.clusterBytes = header.clusterBytes();
        refuseWhatCannotBe();
        walk();
        long[] active = active(tables);
        tail = references.highest() + 1;
        keptClusters = references.clusters();
        references.add(0);
        l1 = new byte[active.length * Long.BYTES];
        for (int i = 0; i < active.length; i++) {
            if (active[i] != 0) {
                begun.add(active[i] >>> header.clusterBits());
            }
            u64(l1, i * Long.BYTES, active[i]);
        }
        long l1Clusters = Math.max(1, clustersOf(l1.length));
        tableAt = tail + l1Clusters;
        long blocks = 1;
        long tableClusters = 1;
        while (true) {
            long total = tableAt + tableClusters + blocks;
            long blocksNeeded = (total + header.countsInBlock() - 1) / header.countsInBlock();
            long tableNeeded = clustersOf(blocksNeeded * Long.BYTES);
            if (blocksNeeded == blocks && tableNeeded == tableClusters) {
                break;
            }
            blocks = blocksNeeded;
            tableClusters = tableNeeded;
        }
        blocksAt = tableAt + tableClusters;
        end = blocksAt + blocks;
        if (tableClusters * clusterBytes > REFCOUNT_TABLE_BYTES_MAX) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "its snapshots lie too far apart in it to be taken along");
        }
        for (long cluster = tail; cluster < end; cluster++) {
            references.add(cluster);
        }
        first = header(active.length, (int) tableClusters, below).encode(file);
    }

    /**
     * What the image is to lie over.
     *
     * @param name as the image is to say it
     * @param format likewise
     */
    public record Below(String name, String format) {}

    /**
     * Looks at an image, which may be in use.
     *
     * @param tables of the same image
     * @param below null: nothing
     * @throws BlockException of kind {@link ErrorKind#CORRUPT} if the tables of its snapshots are damaged; {@link
     *     ErrorKind#UNSUPPORTED} if it has a data file
     */
    public static SnapshotImage of(FileBytes file, SnapshotTables tables, @Nullable Below below) throws BlockException {
        return new SnapshotImage(file, tables, below);
    }

    private void refuseWhatCannotBe() throws BlockException {
        if (header.external()) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it has a data file, and its snapshots are not read");
        }
        sound(file, !header.corrupt(), "it is marked as corrupt");
        sound(file, header.snapshotCount() > 0, "it has no snapshots");
    }

    private long clustersOf(long bytes) {
        return (bytes + clusterBytes - 1) >>> header.clusterBits();
    }

    // ---- what is kept

    /** Counts all that snapshots refer to; a table that many have is read once. */
    private void walk() throws BlockException {
        Snapshot.Table snapshots = Snapshot.read(file, header);
        range(header.snapshotOffset(), snapshots.bytes());
        Map<Long, Integer> tables = new LinkedHashMap<>();
        long tableBytes = 0;
        for (Snapshot snapshot : snapshots.snapshots()) {
            tableBytes += snapshot.l1Entries() * (long) Long.BYTES;
            sound(file, tableBytes <= file.lengthBytes(), "snapshots have one L1 table together");
            range(snapshot.l1Offset(), snapshot.l1Entries() * (long) Long.BYTES);
            for (long entry : Qcow2Image.longs(file, snapshot.l1Offset(), snapshot.l1Entries())) {
                sound(file, (entry & ~(OFFSET_MASK | COPIED)) == 0, "an L1 entry of a snapshot is damaged");
                if (entry != 0) {
                    tables.merge(hostOffset(entry), 1, Integer::sum);
                }
            }
        }
        for (Map.Entry<Long, Integer> table : tables.entrySet()) {
            table(table.getKey(), table.getValue());
        }
        sound(file, !references.has(0), "a snapshot refers to the header");
    }

    private void range(long offset, long bytes) throws BlockException {
        for (long at = offset; at < offset + bytes; at += clusterBytes) {
            cluster(at, 1);
        }
    }

    private void cluster(long offset, int times) throws BlockException {
        boolean there = offset > 0 && (offset & (clusterBytes - 1)) == 0 && offset < file.lengthBytes();
        sound(file, there, "a snapshot refers to " + offset + ", where no cluster is");
        references.add(offset >>> header.clusterBits(), times);
        long count = references.count(offset >>> header.clusterBits());
        sound(
                file,
                count <= Counts.most(header.refcountOrder()) && count < References.MOST,
                "too many snapshots refer to the cluster at " + offset);
    }

    private void table(long offset, int times) throws BlockException {
        cluster(offset, times);
        for (long cluster : clustersIn(offset)) {
            cluster(cluster << header.clusterBits(), times);
        }
    }

    /** The clusters that an L2 table refers to, one for each time. */
    private List<Long> clustersIn(long table) throws BlockException {
        List<Long> found = new ArrayList<>();
        long[] words = Qcow2Image.longs(file, table, header.tableWords());
        for (int at = 0; at < words.length; at += header.wordsInEntry()) {
            long entry = words[at];
            switch (header.kind(entry)) {
                case NORMAL, ZERO_ALLOCATED -> found.add(hostOffset(entry) >>> header.clusterBits());
                case PACKED -> {
                    long offset = packedOffset(entry, header.clusterBits());
                    long to = Math.min(offset + packedBytesMax(entry, header.clusterBits()), file.lengthBytes());
                    long begin = offset >>> header.clusterBits();
                    found.add(begin);
                    // The sectors of the last cluster may go past the end: they are rounded up.
                    for (long next = begin + 1; next << header.clusterBits() < to; next++) {
                        found.add(next);
                    }
                }
                case INVALID -> sound(file, false, "an L2 entry of a snapshot is damaged: " + Long.toHexString(entry));
                default -> {}
            }
        }
        return found;
    }

    /** The tables that the disk begins with, as far as what they name can be referred to once more. */
    private long[] active(SnapshotTables tables) throws BlockException {
        int most = (int) Math.min(Counts.most(header.refcountOrder()), References.MOST - 1);
        long[] active = tables.tables.clone();
        for (int i = 0; i < active.length; i++) {
            if (active[i] == 0) {
                continue;
            }
            List<Long> all = new ArrayList<>(clustersIn(active[i]));
            all.add(active[i] >>> header.clusterBits());
            boolean fits = true;
            for (int done = 0; done < all.size(); done++) {
                sound(file, references.has(all.get(done)), "a table is no snapshot's");
                references.add(all.get(done));
                fits &= references.count(all.get(done)) <= most;
            }
            if (!fits) {
                for (long cluster : all) {
                    references.remove(cluster);
                }
                active[i] = 0;
            }
        }
        return active;
    }

    private Qcow2Header header(int l1Entries, int tableClusters, @Nullable Below below) {
        List<HeaderExtension> extensions = new ArrayList<>();
        if (below != null) {
            extensions.add(HeaderExtension.text(EXTENSION_BACKING_FORMAT, below.format()));
        }
        byte[] features = header.extension(EXTENSION_FEATURE_NAMES);
        if (features != null && header.clusterBits() > CLUSTER_BITS_MIN) {
            extensions.add(new HeaderExtension(EXTENSION_FEATURE_NAMES, new Blob(features)));
        }
        return new Qcow2Header(
                header.version(),
                below == null ? null : below.name(),
                header.clusterBits(),
                header.sizeBytes(),
                l1Entries,
                tail << header.clusterBits(),
                tableAt << header.clusterBits(),
                tableClusters,
                header.snapshotCount(),
                header.snapshotOffset(),
                header.incompatible() & ~INCOMPATIBLE_DIRTY,
                header.compatible(),
                0,
                header.refcountOrder(),
                header.version() == 3 ? 112 : V2_BYTES,
                header.compressionType(),
                Blob.EMPTY,
                extensions);
    }

    // ---- what it is

    @Override
    public long lengthBytes() {
        return end << header.clusterBits();
    }

    /** Of the other file, what is in this one too. */
    public long keptBytes() {
        return keptClusters << header.clusterBits();
    }

    @Override
    public Part part(long offset) {
        long cluster = offset >>> header.clusterBits();
        if (cluster == 0 || cluster >= tail) {
            return Part.MADE;
        }
        return references.has(cluster) ? Part.KEPT : Part.FREE;
    }

    @Override
    public long partEnd(long offset, long limit) {
        long cluster = offset >>> header.clusterBits();
        long next = switch (part(offset)) {
            case MADE -> cluster == 0 ? 1 : end;
            case KEPT -> references.next(cluster, tail, false);
            case FREE -> references.next(cluster, tail, true);
        };
        return Math.min(limit, next << header.clusterBits());
    }

    @Override
    public void put(long offset, int length, IoBuffer buffer, int at) throws BlockException {
        long limit = offset + length;
        for (long from = offset, to; from < limit; from = to) {
            to = Math.min(limit, ((from >>> header.clusterBits()) + 1) << header.clusterBits());
            int into = at + (int) (from - offset);
            int bytes = (int) (to - from);
            switch (part(from)) {
                case KEPT -> {
                    if (begun.contains(from >>> header.clusterBits())) {
                        unflag(from, bytes, buffer, into);
                    }
                }
                case FREE -> buffer.zero(into, bytes);
                case MADE -> {
                    byte[] made = made(from >>> header.clusterBits());
                    buffer.copyFrom(made, (int) (from & (clusterBytes - 1)), into, bytes);
                }
            }
        }
    }

    /** Of entries of a table: their clusters are the disk's too from now on. */
    private void unflag(long offset, int length, IoBuffer buffer, int at) {
        int step = header.entryBytes();
        byte[] bytes = new byte[length];
        buffer.copyTo(at, bytes, 0, length);
        for (int i = (int) (-offset & (step - 1)); i < length; i += step) {
            if ((bytes[i] & PACKED_BYTE) == 0) {
                bytes[i] &= (byte) ~COPIED_BYTE;
            }
        }
        buffer.copyFrom(bytes, 0, at, length);
    }

    private byte[] made(long cluster) throws BlockException {
        if (cluster == 0) {
            return first;
        }
        if (cluster < tableAt) {
            int from = (int) ((cluster - tail) << header.clusterBits());
            return Arrays.copyOfRange(l1, from, from + (int) clusterBytes);
        }
        byte[] bytes = new byte[(int) clusterBytes];
        if (cluster < blocksAt) {
            long firstBlock = (cluster - tableAt) * (clusterBytes / Long.BYTES);
            for (int i = 0; i < clusterBytes / Long.BYTES && blocksAt + firstBlock + i < end; i++) {
                u64(bytes, i * Long.BYTES, (blocksAt + firstBlock + i) << header.clusterBits());
            }
            return bytes;
        }
        long from = (cluster - blocksAt) * header.countsInBlock();
        for (int i = 0; i < header.countsInBlock() && from + i < end; i++) {
            Counts.set(bytes, i, header.refcountOrder(), references.count(from + i));
        }
        return bytes;
    }
}
