package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Header.flaw;
import static dev.ferry.image.qcow2.Qcow2Header.sound;
import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A qcow2 file that has been opened and found sound as far as its header and top-level tables go: what a {@link
 * Qcow2Device} begins with. L2 tables and refcount blocks are looked at when they are needed.
 *
 * <p>Opening reads this one file only: a backing file is named, never opened. Blocking code of the control plane.
 */
public final class Qcow2Image {
    private static final int PIECE_BYTES = 1 << 20;

    final Qcow2Header header;
    final long[] l1;
    final long[] refcountTable;
    final List<Snapshot> snapshots;
    final long snapshotTableBytes;
    final StoredBitmap.Directory bitmaps;
    final boolean readOnly;
    final String name;

    /** The cluster behind the last one that is in use. */
    final long tailCluster;

    private Qcow2Image(
            FileBytes file,
            Qcow2Header header,
            long[] l1,
            long[] refcountTable,
            Snapshot.Table snapshots,
            StoredBitmap.Directory bitmaps,
            boolean readOnly,
            long tailCluster) {
        this.name = file.name();
        this.header = header;
        this.l1 = l1;
        this.refcountTable = refcountTable;
        this.snapshots = snapshots.snapshots();
        this.snapshotTableBytes = snapshots.bytes();
        this.bitmaps = bitmaps;
        this.readOnly = readOnly;
        this.tailCluster = tailCluster;
    }

    /** True if a file begins as qcow2 files do; a guest of a raw disk can make that so too. */
    public static boolean looksLikeOne(FileBytes file) throws BlockException {
        return Qcow2Header.begins(file.read(0, 4));
    }

    /** Reads header and tables and changes nothing. */
    public static Qcow2Image openReadOnly(FileBytes file) throws BlockException {
        return load(file, Qcow2Header.read(file), true);
    }

    /** Opens one of the internal snapshots, by its id or else its name, to be read. */
    public static Qcow2Image openSnapshot(FileBytes file, String snapshot) throws BlockException {
        Qcow2Image image = openReadOnly(file);
        if (image.header.external()) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it has a data file, and its snapshots are not read");
        }
        Snapshot found = Snapshot.find(image.snapshots, snapshot)
                .orElseThrow(() -> flaw(file, ErrorKind.NOT_FOUND, "it has no snapshot '" + snapshot + "'"));
        return image.at(file, found);
    }

    private Qcow2Image at(FileBytes file, Snapshot snapshot) throws BlockException {
        Qcow2Header h = header;
        sound(
                file,
                snapshot.sizeBytes() >= 0 && h.l1EntriesFor(snapshot.sizeBytes()) <= snapshot.l1Entries(),
                "the snapshot's L1 table is too small for its disk");
        long[] table = longs(file, snapshot.l1Offset(), snapshot.l1Entries());
        Qcow2Header then = new Qcow2Header(
                h.version(),
                h.backingName(),
                h.clusterBits(),
                snapshot.sizeBytes(),
                snapshot.l1Entries(),
                snapshot.l1Offset(),
                h.refcountTableOffset(),
                h.refcountTableClusters(),
                h.snapshotCount(),
                h.snapshotOffset(),
                h.incompatible(),
                h.compatible(),
                h.autoclear(),
                h.refcountOrder(),
                h.bytes(),
                h.compressionType(),
                h.unknownFields(),
                h.extensions());
        return new Qcow2Image(
                file,
                then,
                table,
                refcountTable,
                new Snapshot.Table(snapshots, snapshotTableBytes),
                bitmaps,
                true,
                tailCluster);
    }

    /**
     * Makes the file ready to be written: repairs refcounts that it says may be wrong, says of the dirty bitmaps that
     * should follow every change that they do not, and clears what unknown features asked to have cleared.
     *
     * @throws BlockException of kind {@link ErrorKind#CORRUPT} where it is marked as corrupt
     */
    public static Qcow2Image openForWriting(FileBytes file) throws BlockException {
        Qcow2Image image = load(file, mended(file), false);
        refuseMixtures(file, image.header);
        long known = image.header.autoclear() & (AUTOCLEAR_BITMAPS | AUTOCLEAR_RAW_DATA);
        for (StoredBitmap bitmap : image.bitmaps.bitmaps()) {
            if ((bitmap.flags() & StoredBitmap.AUTO) != 0 && (bitmap.flags() & StoredBitmap.IN_USE) == 0) {
                bitmap.markInUse(file);
            }
        }
        if (known != image.header.autoclear()) {
            byte[] word = new byte[8];
            u64(word, 0, known);
            file.write(AUTOCLEAR, word);
        }
        file.flush();
        return image;
    }

    /** What no program makes, and what one of the two rules would break of the other. */
    private static void refuseMixtures(FileBytes file, Qcow2Header header) throws BlockException {
        if (header.external() && header.snapshotCount() > 0) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it has a data file and internal snapshots; it is read only");
        }
        if (header.rawData() && header.backingName() != null) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "its data file is raw and it has a backing file; it is read only");
        }
    }

    /** For one that is not in use and whose tables are to be changed, and not what its disk holds. */
    static Qcow2Image openAtRest(FileBytes file) throws BlockException {
        return load(file, mended(file), true);
    }

    private static Qcow2Header mended(FileBytes file) throws BlockException {
        Qcow2Header header = Qcow2Header.read(file);
        if (header.corrupt()) {
            throw flaw(file, ErrorKind.CORRUPT, "it is marked as corrupt; open it read-only, or repair it first");
        }
        if (header.dirty()) {
            CheckReport report = Qcow2Checker.check(file, Qcow2Checker.Repair.ALL);
            sound(file, report.corruptions() == 0, "its refcounts are damaged beyond repair: " + report.firstFinding());
            header = Qcow2Header.read(file);
        }
        long clusterMask = header.clusterBytes() - 1;
        if ((file.lengthBytes() & clusterMask) != 0) {
            file.resize((file.lengthBytes() + clusterMask) & ~clusterMask);
        }
        return header;
    }

    private static Qcow2Image load(FileBytes file, Qcow2Header header, boolean readOnly) throws BlockException {
        long[] l1 = longs(file, header.l1Offset(), header.l1Entries());
        for (long entry : l1) {
            sound(
                    file,
                    (entry & ~(OFFSET_MASK | COPIED)) == 0 && (hostOffset(entry) & (header.clusterBytes() - 1)) == 0,
                    "an entry of its L1 table is damaged");
            sound(file, hostOffset(entry) < Math.max(1, file.lengthBytes()), "an L2 table is past the end of the file");
        }
        long[] refcounts =
                longs(file, header.refcountTableOffset(), header.refcountTableClusters() << (header.clusterBits() - 3));
        for (long entry : refcounts) {
            sound(
                    file,
                    (entry & (header.clusterBytes() - 1)) == 0 && entry >= 0 && entry < file.lengthBytes(),
                    "an entry of its refcount table is damaged");
        }
        return new Qcow2Image(
                file,
                header,
                l1,
                refcounts,
                Snapshot.read(file, header),
                StoredBitmap.read(file, header),
                readOnly,
                readOnly ? 0 : tail(file, header, refcounts));
    }

    /** Looks for the last cluster that counts for something, from the end. */
    private static long tail(FileBytes file, Qcow2Header header, long[] refcounts) throws BlockException {
        for (int block = refcounts.length - 1; block >= 0; block--) {
            if (refcounts[block] == 0) {
                continue;
            }
            byte[] counts = file.read(refcounts[block], 1 << header.clusterBits());
            int last = counts.length - 1;
            while (last >= 0 && counts[last] == 0) {
                last--;
            }
            if (last >= 0) {
                long first = block * header.countsInBlock();
                int order = header.refcountOrder();
                int index = order >= 3 ? (last >>> (order - 3)) + 1 : (last + 1) * (8 >> order);
                return first + index;
            }
        }
        return 0;
    }

    static long[] longs(FileBytes file, long offset, int count) throws BlockException {
        long[] values = new long[count];
        byte[] piece = new byte[(int) Math.min(PIECE_BYTES, count * 8L)];
        for (int done = 0; done < count; ) {
            int run = Math.min(piece.length / 8, count - done);
            file.read(offset + done * 8L, piece, 0, run * 8);
            for (int i = 0; i < run; i++) {
                values[done + i] = u64(piece, i * 8);
            }
            done += run;
        }
        return values;
    }

    public String name() {
        return name;
    }

    public long sizeBytes() {
        return header.sizeBytes();
    }

    public long clusterBytes() {
        return header.clusterBytes();
    }

    /** What is allocated at once: a cluster, or a part of one where its L2 entries are extended. */
    public long grainBytes() {
        return header.extended() ? header.clusterBytes() / Subclusters.COUNT : header.clusterBytes();
    }

    /** The file that data is in, as the image names it: a claim; null where that is the image itself. */
    public @Nullable String dataFileName() {
        return header.dataFileName();
    }

    /** The backing file as the image names it: a claim, which whoever opens it has to judge. */
    public @Nullable String backingName() {
        return header.backingName();
    }

    /** The backing file's format as the image names it. */
    public @Nullable String backingFormat() {
        return header.backingFormat();
    }
}
