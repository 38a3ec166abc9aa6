package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Changes what an image is made of, its size and its snapshots, while nobody uses it.
 *
 * <p><b>What a crash leaves</b> is the image as it was, or as it is to be, and no leaks either way. Nothing that the image
 * refers to is written to: tables, counts and the list of snapshots are written anew, to clusters that nobody refers to. When
 * they are durable, one write to the header, within a sector, points to all of them at once. What has become free then is
 * counted as free already, and is cut off where it is at the end of the file.
 *
 * <p>Blocking code of the control plane; used once. Its memory is that of a check, twice.
 */
final class Changeover {
    final FileBytes file;
    final Qcow2Image image;
    final Qcow2Header header;
    final FreshClusters clusters;
    private long sizeBytes;
    private long[] l1;
    private long thereBytes;
    private long replacedCluster = -1;
    private long replacedEntry;
    private long replacedBitmap;
    private long zeroFrom;
    private long zeroTo;
    private long mappedFrom;
    private long mappedTo;
    private List<Snapshot> snapshots;
    private Qcow2Bitmaps.@Nullable Directory bitmaps;

    private Changeover(FileBytes file, Qcow2Image image, References old) {
        this.file = file;
        this.image = image;
        this.header = image.header;
        this.clusters = new FreshClusters(file, header, old);
        this.sizeBytes = header.sizeBytes();
        this.thereBytes = sizeBytes;
        this.l1 = image.l1;
        this.snapshots = image.snapshots;
    }

    /** Looks at an image that is to be changed; one that is damaged is refused. */
    static Changeover of(FileBytes file) throws BlockException {
        Qcow2Image image = Qcow2Image.openAtRest(file);
        return new Changeover(file, image, Qcow2Checker.soundReferences(file));
    }

    // ---- what is to be

    /** The disk's size; what lies beyond it goes. */
    void resize(long bytes) {
        sizeBytes = bytes;
    }

    /** The disk is what a table of L1 entries says, for so many bytes. */
    void content(long[] entries, long bytes) {
        l1 = entries;
        thereBytes = bytes;
        sizeBytes = bytes;
    }

    void snapshots(List<Snapshot> list) {
        snapshots = list;
    }

    /** The bitmaps' directory is written anew; until somebody refers to it the image has no bitmaps. */
    void bitmaps(Qcow2Bitmaps.Directory directory) {
        bitmaps = directory;
    }

    /**
     * One guest cluster gets another entry; the cluster that this names has been taken for it.
     *
     * @param bitmap its second word, where entries have one
     */
    void replace(long guestCluster, long entry, long bitmap) {
        replacedCluster = guestCluster;
        replacedEntry = entry;
        replacedBitmap = bitmap;
    }

    /** Guest clusters from one to before another read as zeroes. */
    void zero(long from, long to) {
        zeroFrom = from;
        zeroTo = to;
    }

    /** Guest clusters from one to before another are data of the data file. */
    void map(long from, long to) {
        mappedFrom = from;
        mappedTo = to;
    }

    // ---- the change

    void run() throws BlockException {
        long l1Needed = Math.max(1, header.l1EntriesFor(sizeBytes));
        if (l1Needed * 8 > L1_BYTES_MAX) {
            throw Qcow2Header.flaw(
                    file,
                    ErrorKind.UNSUPPORTED,
                    "its clusters of " + header.clusterBytes() + " bytes are too small for a disk of that size");
        }
        count((int) l1Needed);
        byte[] table = tables((int) l1Needed);
        byte[] fields = file.read(0, header.version() >= 3 ? REFCOUNT_ORDER : V2_BYTES);
        u64(fields, SIZE, sizeBytes);
        s32(fields, L1_ENTRIES, (int) l1Needed);
        u64(fields, L1_OFFSET, clusters.write(table));
        ByteArrayOutputStream list = new ByteArrayOutputStream();
        snapshots.forEach(one -> list.writeBytes(one.stored().bytes()));
        s32(fields, SNAPSHOT_COUNT, snapshots.size());
        u64(fields, SNAPSHOT_OFFSET, snapshots.isEmpty() ? 0 : clusters.write(list.toByteArray()));
        if (bitmaps != null) {
            bitmaps.write();
        }
        FreshClusters.Counted counted = clusters.writeCounts();
        u64(fields, REFCOUNT_TABLE_OFFSET, counted.tableOffset());
        s32(fields, REFCOUNT_TABLE_CLUSTERS, counted.tableClusters());
        if (header.version() >= 3) {
            long kept = bitmaps != null ? AUTOCLEAR_RAW_DATA : AUTOCLEAR_RAW_DATA | AUTOCLEAR_BITMAPS;
            u64(fields, AUTOCLEAR, header.autoclear() & kept);
        }
        file.flush();
        file.write(SIZE, fields, SIZE, fields.length - SIZE);
        file.flush();
        if (clusters.endOffset() != file.lengthBytes()) {
            file.resize(clusters.endOffset());
            file.flush();
        }
    }

    /** Counts what stays, so that it is known which clusters are shared and which are free. */
    private void count(int l1Needed) throws BlockException {
        clusters.fresh.add(0);
        for (Snapshot snapshot : snapshots) {
            clusters.refer(snapshot.l1Offset(), snapshot.l1Entries() * 8L);
            for (long entry : Qcow2Image.longs(file, snapshot.l1Offset(), snapshot.l1Entries())) {
                if (hostOffset(entry) != 0) {
                    clusters.fresh.add(hostOffset(entry) >>> header.clusterBits());
                    long[] words = Qcow2Image.longs(file, hostOffset(entry), header.tableWords());
                    for (int at = 0; at < words.length; at += header.wordsInEntry()) {
                        clusters.refer(words[at]);
                    }
                }
            }
        }
        if (bitmaps == null) {
            clusters.refer(image.bitmaps.offset(), image.bitmaps.bytes());
        }
        for (StoredBitmap bitmap : bitmaps == null ? image.bitmaps.bitmaps() : bitmaps.kept()) {
            clusters.refer(bitmap.tableOffset(), bitmap.tableEntries() * 8L);
            for (long entry : Qcow2Image.longs(file, bitmap.tableOffset(), bitmap.tableEntries())) {
                clusters.refer(hostOffset(entry), hostOffset(entry) == 0 ? 0 : 1);
            }
        }
        for (int i = 0; i < l1Needed; i++) {
            if (!touched(i)) {
                continue;
            }
            long[] words = words(i);
            for (int k = 0; k < header.tableEntries(); k++) {
                if (firstOf(i) + k != replacedCluster) {
                    clusters.refer(words[k * header.wordsInEntry()]);
                }
            }
        }
    }

    /** The L1 table; L2 tables that are not what they have to be are written elsewhere. */
    private byte[] tables(int l1Needed) throws BlockException {
        long[] hosts = new long[l1Needed];
        for (int i = 0; i < l1Needed; i++) {
            if (!touched(i)) {
                continue;
            }
            byte[] table = new byte[(int) header.clusterBytes()];
            boolean empty = true;
            long[] words = words(i);
            for (int at = 0; at < words.length; at++) {
                boolean entry = at % header.wordsInEntry() == 0;
                u64(table, at * 8, entry ? clusters.flagged(words[at]) : words[at]);
                empty &= words[at] == 0;
            }
            long host = i < l1.length ? hostOffset(l1[i]) : 0;
            if (empty) {
                continue;
            }
            if (host != 0 && Arrays.equals(file.read(host, table.length), table)) {
                clusters.fresh.add(host >>> header.clusterBits());
                hosts[i] = host;
            } else {
                hosts[i] = clusters.write(table);
            }
        }
        byte[] table = new byte[l1Needed * 8];
        for (int i = 0; i < l1Needed; i++) {
            u64(table, i * 8, hosts[i] == 0 ? 0 : clusters.withFlag(hosts[i]));
        }
        return table;
    }

    private long firstOf(int l1Index) {
        return (long) l1Index * header.tableEntries();
    }

    /** False for a part of the disk that has nothing and gets nothing. */
    private boolean touched(int l1Index) {
        long first = firstOf(l1Index);
        long end = first + header.tableEntries();
        return (l1Index < l1.length && hostOffset(l1[l1Index]) != 0)
                || (zeroFrom < end && zeroTo > first)
                || (mappedFrom < end && mappedTo > first)
                || (replacedCluster >= first && replacedCluster < end);
    }

    /** A part of the map as it is to be, but for the flags. */
    private long[] words(int l1Index) throws BlockException {
        long host = l1Index < l1.length ? hostOffset(l1[l1Index]) : 0;
        long[] words = host == 0 ? new long[header.tableWords()] : Qcow2Image.longs(file, host, header.tableWords());
        long first = firstOf(l1Index);
        long there = clusters.clustersOf(Math.min(thereBytes, sizeBytes));
        for (int k = 0; k < header.tableEntries(); k++) {
            long cluster = first + k;
            if (cluster >= there) {
                set(words, k, 0, 0);
            }
            if (cluster >= zeroFrom && cluster < zeroTo) {
                set(words, k, header.extended() ? 0 : ZERO, Subclusters.ALL_ZERO);
            }
            if (cluster >= mappedFrom && cluster < mappedTo) {
                set(words, k, cluster << header.clusterBits() | COPIED, Subclusters.ALL_ALLOCATED);
            }
            if (cluster == replacedCluster) {
                set(words, k, replacedEntry, replacedBitmap);
            }
        }
        return words;
    }

    private void set(long[] words, int index, long entry, long bitmap) {
        words[index * header.wordsInEntry()] = entry;
        if (header.extended()) {
            words[index * header.wordsInEntry() + 1] = bitmap;
        }
    }
}
