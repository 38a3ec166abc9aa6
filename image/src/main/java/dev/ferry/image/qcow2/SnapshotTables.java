package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Of the L2 tables of an image's internal snapshots, those that its disk has most in common with: one for each entry of the disk's L1
 * table, or none. Nobody writes to the tables of a snapshot, nor to the clusters that they name, so a cluster of the disk that lies
 * where such a table has it reads as it did then ({@link Qcow2Device#compareWith}).
 *
 * <p>Another file that holds the same snapshots at the same places ({@link SnapshotImage}) has the same tables. Which ones are chosen
 * decides what two such disks are known to share, and never whether that is right: the image may be in use, and what is read of its
 * own tables may be old. Immutable; blocking code of the control plane.
 */
public final class SnapshotTables {
    /** Of L1 tables that are looked at: those of the latest snapshots, if they are too many. */
    private static final long ENTRIES_MAX = 8 << 20;

    private final Qcow2Header header;
    private final byte[] snapshots;
    private final boolean known;
    final long[] tables;

    private SnapshotTables(Qcow2Header header, byte[] snapshots, boolean known, long[] tables) {
        this.header = header;
        this.snapshots = snapshots;
        this.known = known;
        this.tables = tables;
    }

    /** None of them, at little cost: all that a disk has counts as its own until others are taken in their place. */
    public static SnapshotTables unknown(FileBytes file) throws BlockException {
        Qcow2Header header = Qcow2Header.read(file);
        return new SnapshotTables(header, new byte[0], false, new long[(int) header.l1EntriesFor(header.sizeBytes())]);
    }

    /** They have been chosen. */
    public boolean known() {
        return known;
    }

    /** Those of an image, which may be in use. */
    public static SnapshotTables of(FileBytes file) throws BlockException {
        Qcow2Header header = Qcow2Header.read(file);
        Snapshot.Table list = Snapshot.read(file, header);
        long[] tables = new Choice(file, header).choose(list.snapshots().reversed());
        return new SnapshotTables(header, stored(file, header, list), true, tables);
    }

    /** One choice, with bounds for what no image of that length needs. */
    private static final class Choice {
        private final FileBytes file;
        private final Qcow2Header header;
        /** Each table is that of one part of the disk, so that none is looked at twice. */
        private long looksLeft;

        Choice(FileBytes file, Qcow2Header header) {
            this.file = file;
            this.header = header;
            this.looksLeft = 2 * (file.lengthBytes() >>> header.clusterBits());
        }

        long[] choose(List<Snapshot> latestFirst) throws BlockException {
            int count = (int) header.l1EntriesFor(header.sizeBytes());
            long[] live = Qcow2Image.longs(file, header.l1Offset(), count);
            List<long[]> then = new ArrayList<>();
            long entriesLeft = ENTRIES_MAX;
            for (Snapshot one : latestFirst) {
                int entries = Math.min(count, one.l1Entries());
                entriesLeft -= entries;
                if (entriesLeft >= 0) {
                    then.add(Qcow2Image.longs(file, one.l1Offset(), entries));
                }
            }
            long[] tables = new long[count];
            for (int i = 0; i < count; i++) {
                if (isTable(live[i])) {
                    tables[i] = nearest(i, hostOffset(live[i]), candidates(then, i));
                }
            }
            return tables;
        }

        private Set<Long> candidates(List<long[]> then, int slot) {
            Set<Long> found = new LinkedHashSet<>();
            for (long[] l1 : then) {
                if (slot < l1.length && isTable(l1[slot])) {
                    found.add(hostOffset(l1[slot]));
                }
            }
            return found;
        }

        private boolean isTable(long entry) {
            long host = hostOffset(entry);
            return host != 0
                    && (host & (header.clusterBytes() - 1)) == 0
                    && host <= file.lengthBytes() - header.clusterBytes();
        }

        private long nearest(int slot, long live, Set<Long> candidates) throws BlockException {
            if (candidates.isEmpty() || looksLeft-- <= 0) {
                return 0;
            }
            long[] own = words(live);
            if (candidates.contains(live)) {
                return usable(slot, own) ? live : 0;
            }
            long best = 0;
            int most = 0;
            for (long candidate : candidates) {
                if (looksLeft-- <= 0) {
                    break;
                }
                long[] words = words(candidate);
                int same = inCommon(own, words);
                if (same > most && usable(slot, words)) {
                    best = candidate;
                    most = same;
                }
            }
            return best;
        }

        private long[] words(long table) throws BlockException {
            return Qcow2Image.longs(file, table, header.tableWords());
        }

        private int inCommon(long[] own, long[] then) {
            int same = 0;
            for (int at = 0; at < own.length; at += header.wordsInEntry()) {
                same += own[at] != 0 && own[at] == (then[at] & ~COPIED) ? 1 : 0;
            }
            return same;
        }

        /** As the table of a disk it may show nothing behind the disk's end. */
        private boolean usable(int slot, long[] words) {
            int step = header.wordsInEntry();
            long clusters = (header.sizeBytes() + header.clusterBytes() - 1) >>> header.clusterBits();
            long first = (long) slot * header.tableEntries();
            for (int at = 0; at < words.length; at += step) {
                int kind = header.kind(words[at]);
                boolean behind = first + at / step >= clusters && words[at] != 0;
                if (kind == INVALID || behind) {
                    return false;
                }
            }
            return true;
        }
    }

    private static byte[] stored(FileBytes file, Qcow2Header header, Snapshot.Table list) throws BlockException {
        return list.snapshots().isEmpty() ? new byte[0] : file.read(header.snapshotOffset(), (int) list.bytes());
    }

    /** True if another image holds the same snapshots at the same places, so that these are tables of its snapshots too. */
    public boolean fit(FileBytes other) throws BlockException {
        Qcow2Header its = Qcow2Header.read(other);
        return its.clusterBits() == header.clusterBits()
                && its.extended() == header.extended()
                && its.version() == header.version()
                && its.sizeBytes() == header.sizeBytes()
                && Arrays.equals(snapshots, stored(other, its, Snapshot.read(other, its)));
    }
}
