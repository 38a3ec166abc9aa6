package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;
import static dev.ferry.image.qcow2.Subclusters.ALL_ZERO;

import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Counts who refers to each cluster of a qcow2 file, and compares that with the refcounts, as {@code qemu-img check} does.
 * Too low a count is corruption, since the cluster may be handed out again; too high a one is a leak. The image must not
 * be in use. Blocking code of the control plane; its memory is two bytes for each cluster in use, and has a bound.
 */
public final class Qcow2Checker {
    private static final int FINDINGS_MAX = 50;

    /** What is mended. */
    public enum Repair {
        /** Nothing is changed. */
        NONE,
        /** Clusters that nobody uses are counted as free. */
        LEAKS,
        /** All counts and the flags that follow from them are made right. */
        ALL
    }

    private final FileBytes file;
    private final Qcow2Header header;
    private final long clusterMask;
    private final long fileClusters;
    final References references;
    private final long[] l1;
    private final long[] refcountTable;
    private final List<String> findings = new ArrayList<>();
    private final List<Long> wrongFlags = new ArrayList<>();
    private final Map<Long, Long> wrongBitmaps = new LinkedHashMap<>();
    private long corruptions;
    private long unmendable;
    private long leaks;
    private long allocated;
    private long compressed;
    private long fragmented;
    private boolean blockMissing;

    private Qcow2Checker(FileBytes file) throws BlockException {
        this.file = file;
        this.header = Qcow2Header.read(file);
        this.clusterMask = header.clusterBytes() - 1;
        this.fileClusters = (file.lengthBytes() + clusterMask) >>> header.clusterBits();
        this.references = new References(file);
        this.l1 = Qcow2Image.longs(file, header.l1Offset(), header.l1Entries());
        this.refcountTable = Qcow2Image.longs(
                file, header.refcountTableOffset(), header.refcountTableClusters() << (header.clusterBits() - 3));
    }

    /** Checks a file that is not in use, and mends what it is told to; the report is that of the state left behind. */
    public static CheckReport check(FileBytes file, Repair repair) throws BlockException {
        Qcow2Checker found = new Qcow2Checker(file);
        found.walk();
        CheckReport report = found.report();
        boolean mend = repair == Repair.ALL
                ? !report.clean() || found.header.dirty() || found.header.corrupt()
                : repair == Repair.LEAKS && report.leaks() > 0;
        if (!mend) {
            return report;
        }
        new Qcow2Repair(file, found.header, found.references, found.refcountTable)
                .run(repair, found.blockMissing, found.wrongFlags, found.wrongBitmaps, found.unmendable == 0);
        Qcow2Checker again = new Qcow2Checker(file);
        again.walk();
        return again.report().after(report);
    }

    /** Who refers to what in an image that is to be changed; one that is damaged is refused. */
    static References soundReferences(FileBytes file) throws BlockException {
        Qcow2Checker found = new Qcow2Checker(file);
        found.walk();
        CheckReport report = found.report();
        Qcow2Header.sound(file, report.corruptions() == 0, "it is damaged; repair it first: " + report.firstFinding());
        return found.references;
    }

    private void walk() throws BlockException {
        count(0, 1, "the header");
        count(
                header.refcountTableOffset(),
                (long) header.refcountTableClusters() << header.clusterBits(),
                "the refcount table");
        for (int i = 0; i < refcountTable.length; i++) {
            if (refcountTable[i] != 0) {
                cluster(refcountTable[i], "refcount block " + i);
            }
        }
        count(header.l1Offset(), header.l1Entries() * 8L, "the L1 table");
        map(l1, true);
        Snapshot.Table snapshots = Snapshot.read(file, header);
        count(header.snapshotOffset(), snapshots.bytes(), "the snapshot table");
        for (Snapshot snapshot : snapshots.snapshots()) {
            count(snapshot.l1Offset(), snapshot.l1Entries() * 8L, "a snapshot's L1 table");
            map(Qcow2Image.longs(file, snapshot.l1Offset(), snapshot.l1Entries()), false);
        }
        bitmaps();
        compare();
        flags();
    }

    private void bitmaps() throws BlockException {
        StoredBitmap.Directory directory = StoredBitmap.read(file, header);
        count(directory.offset(), directory.bytes(), "the bitmap directory");
        for (StoredBitmap bitmap : directory.bitmaps()) {
            count(bitmap.tableOffset(), bitmap.tableEntries() * 8L, "a bitmap's table");
            for (long entry : Qcow2Image.longs(file, bitmap.tableOffset(), bitmap.tableEntries())) {
                if (hostOffset(entry) != 0) {
                    cluster(hostOffset(entry), "a bitmap");
                }
            }
        }
    }

    // ---- references

    private void map(long[] table, boolean active) throws BlockException {
        long expected = -1;
        for (int i = 0; i < table.length; i++) {
            long entry = table[i];
            if (entry == 0) {
                continue;
            }
            if ((entry & ~(OFFSET_MASK | COPIED)) != 0) {
                corrupt("L1 entry " + i + " has reserved bits");
                continue;
            }
            if (!cluster(hostOffset(entry), "the L2 table of L1 entry " + i)) {
                continue;
            }
            long[] words = Qcow2Image.longs(file, hostOffset(entry), header.tableWords());
            for (int at = 0; at < words.length; at += header.wordsInEntry()) {
                long guest = (long) i * header.tableEntries() + at / header.wordsInEntry();
                expected = words[at] == 0 ? expected : entry(words[at], active, expected, guest);
                if (header.extended()) {
                    bitmap(words[at], words[at + 1], hostOffset(entry) + (at + 1) * 8L);
                }
            }
        }
    }

    /** @return where the next cluster would lie if it followed this one */
    private long entry(long entry, boolean active, long expected, long guest) throws BlockException {
        switch (header.kind(entry)) {
            case INVALID -> corrupt("an L2 entry is damaged: " + Long.toHexString(entry));
            case PACKED -> {
                long offset = packedOffset(entry, header.clusterBits());
                long end = offset + packedBytesMax(entry, header.clusterBits());
                for (long at = offset & ~clusterMask; at < end; at += clusterMask + 1) {
                    // The sectors of the last cluster may go past the end: they are rounded up.
                    if (at < file.lengthBytes() || at == (offset & ~clusterMask)) {
                        boolean _ = cluster(at, "a compressed cluster");
                    }
                }
                allocated += active ? 1 : 0;
                compressed += active ? 1 : 0;
            }
            case NORMAL, ZERO_ALLOCATED -> {
                long host = hostOffset(entry);
                if (!header.external()) {
                    boolean _ = cluster(host, "an L2 entry");
                } else if (host != guest << header.clusterBits()) {
                    corrupt("cluster " + guest + " of the disk is at " + host
                            + " of the data file, not at its own place");
                }
                if (active) {
                    allocated++;
                    fragmented += expected >= 0 && expected != host ? 1 : 0;
                    return host + clusterMask + 1;
                }
            }
            default -> {}
        }
        return expected;
    }

    /** What an extended entry says of the parts of its cluster; mended so that data which is there can be read. */
    private void bitmap(long entry, long bitmap, long position) {
        int kind = header.kind(entry);
        long right = bitmap;
        if (kind == PACKED) {
            right = 0;
        } else if (kind == UNALLOCATED) {
            right = bitmap & ALL_ZERO;
        } else if (kind == NORMAL) {
            right = Subclusters.allocate(bitmap, Subclusters.allocated(bitmap));
        }
        if (right != bitmap && wrongBitmaps.put(position, right) == null) {
            mendable("an L2 entry says of subclusters what cannot be: " + Long.toHexString(bitmap));
        }
    }

    private void count(long offset, long bytes, String what) throws BlockException {
        for (long at = offset; at < offset + bytes; at += clusterMask + 1) {
            boolean _ = cluster(at & ~clusterMask, what);
        }
    }

    private boolean cluster(long offset, String what) throws BlockException {
        if ((offset & clusterMask) != 0) {
            corrupt(what + " does not begin at a cluster, but at " + offset);
            return false;
        }
        if (offset < 0 || offset >>> header.clusterBits() >= fileClusters) {
            corrupt(what + " is past the end of the file, at " + offset);
            return false;
        }
        references.add(offset >>> header.clusterBits());
        return true;
    }

    // ---- against the counts

    private void compare() throws BlockException {
        long perBlock = header.countsInBlock();
        long last = Math.max(references.highest(), -1);
        byte[] zeroes = new byte[(int) header.clusterBytes()];
        for (int i = 0; i < refcountTable.length; i++) {
            long offset = refcountTable[i];
            boolean there = offset != 0
                    && (offset & clusterMask) == 0
                    && offset > 0
                    && offset >>> header.clusterBits() < fileClusters;
            if (!there && i * perBlock > last) {
                continue;
            }
            byte[] counts = there ? file.read(offset, (int) header.clusterBytes()) : new byte[0];
            for (int k = 0; k < perBlock && (there || i * perBlock + k <= last); k++) {
                if (i * perBlock + k > last) {
                    // Behind all that is in use only what is counted matters; a table may name a block many times.
                    k = Counts.nextCounted(counts, k, header.refcountOrder(), zeroes);
                    if (k >= perBlock) {
                        break;
                    }
                }
                long stored = there ? Counts.at(counts, k, header.refcountOrder()) : 0;
                compare(i * perBlock + k, stored, there);
            }
        }
        for (long cluster = refcountTable.length * perBlock; cluster <= last; cluster++) {
            if (references.count(cluster) > 0) {
                blockMissing = true;
                mendable("cluster " + cluster + " is in use and beyond the refcount table");
            }
        }
    }

    private void compare(long cluster, long stored, boolean there) throws BlockException {
        int counted = references.count(cluster);
        if (stored == counted) {
            return;
        }
        String what = findings.size() == FINDINGS_MAX
                ? ""
                : "cluster " + cluster + " counts " + stored + " and is referred to " + counted + " times";
        if (stored < counted) {
            blockMissing |= !there;
            mendable(what);
        } else {
            leaks++;
            finding(what);
        }
    }

    /** The flag that says "count is exactly one" must say so exactly where it is, or a write goes to two disks. */
    private void flags() throws BlockException {
        for (int i = 0; i < l1.length; i++) {
            long table = hostOffset(l1[i]);
            if (table == 0 || (table & clusterMask) != 0 || table >>> header.clusterBits() >= fileClusters) {
                continue;
            }
            flag(l1[i], table, header.l1Offset() + i * 8L, "L1 entry " + i);
            long[] words = Qcow2Image.longs(file, table, header.tableWords());
            int step = header.wordsInEntry();
            for (int at = 0; at < words.length; at += step) {
                int kind = header.kind(words[at]);
                if (!header.external() && (kind == NORMAL || kind == ZERO_ALLOCATED)) {
                    String what = "L2 entry " + at / step + " of table " + i;
                    flag(words[at], hostOffset(words[at]), table + at * 8L, what);
                }
            }
        }
    }

    private void flag(long entry, long host, long position, String what) throws BlockException {
        long cluster = host >>> header.clusterBits();
        if (((entry & COPIED) != 0) != (references.count(cluster) == 1)) {
            wrongFlags.add(position);
            mendable(what + " says " + ((entry & COPIED) != 0 ? "" : "not ") + "that its cluster counts one");
        }
    }

    private void corrupt(String what) {
        unmendable++;
        mendable(what);
    }

    private void mendable(String what) {
        corruptions++;
        finding(what);
    }

    private void finding(String what) {
        if (findings.size() < FINDINGS_MAX) {
            findings.add(what);
        }
    }

    private CheckReport report() {
        long total = (header.sizeBytes() >>> header.clusterBits()) + ((header.sizeBytes() & clusterMask) != 0 ? 1 : 0);
        long end = (references.highest() + 1) << header.clusterBits();
        return new CheckReport(corruptions, leaks, 0, 0, total, allocated, compressed, fragmented, end, findings);
    }
}
