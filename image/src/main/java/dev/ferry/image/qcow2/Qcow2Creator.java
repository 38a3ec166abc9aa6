package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Makes a new image in an empty file: header, refcount table and blocks, L1 table, and where it is asked for all L2 tables
 * with their clusters behind. The header is written last. A data file is made by whoever asks, before.
 */
public final class Qcow2Creator {
    private static final int SECTOR = 512;

    private final FileBytes file;
    private final Qcow2Options options;
    private final long sizeBytes;
    private final int clusterBits;
    private final long clusterBytes;

    private Qcow2Creator(FileBytes file, long sizeBytes, Qcow2Options options) {
        this.file = file;
        this.options = options;
        this.sizeBytes = sizeBytes;
        this.clusterBits = options.clusterBits();
        this.clusterBytes = 1L << clusterBits;
    }

    /**
     * Makes an image; what the file held is lost.
     *
     * @param sizeBytes of the disk, a multiple of 512, since other programs take nothing else
     * @throws BlockException of kind {@link ErrorKind#INVALID} where the options contradict each other
     */
    public static void create(FileBytes file, long sizeBytes, Qcow2Options options) throws BlockException {
        new Qcow2Creator(file, sizeBytes, options).create();
    }

    private void refuseUnless(boolean holds, String why) throws BlockException {
        if (!holds) {
            throw BlockError.of(ErrorKind.INVALID, file.name(), "create", why).toException();
        }
    }

    /** Entries of the L1 table; throws where the options contradict each other. */
    static int l1Entries(FileBytes file, long sizeBytes, Qcow2Options options) throws BlockException {
        return new Qcow2Creator(file, sizeBytes, options).checked();
    }

    private void create() throws BlockException {
        lay(checked());
    }

    private int checked() throws BlockException {
        refuseUnless(sizeBytes >= 0 && sizeBytes % SECTOR == 0, "a qcow2 disk has a multiple of 512 bytes");
        refuseUnless(options.version() == 2 || options.version() == 3, "there are versions 2 and 3");
        refuseUnless(
                clusterBits >= CLUSTER_BITS_MIN && clusterBits <= CLUSTER_BITS_MAX, "clusters have 512 bytes to 2 MiB");
        refuseUnless(
                options.refcountOrder() >= 0 && options.refcountOrder() <= REFCOUNT_ORDER_MAX,
                "refcounts have 1 to 64 bits");
        refuseUnless(
                options.version() == 3 || (options.refcountOrder() == 4 && !options.zstd()),
                "version 2 has refcounts of 16 bits and no zstd");
        refuseUnless(
                !options.extendedL2() || (options.version() == 3 && clusterBits >= EXTENDED_CLUSTER_BITS_MIN),
                "extended L2 entries want version 3 and clusters of 16 KiB at least");
        refuseUnless(options.dataName() == null || options.version() == 3, "an image with a data file is of version 3");
        refuseUnless(options.dataName() != null || !options.dataRaw(), "a raw data file is one that has a name");
        refuseUnless(
                !options.dataRaw() || options.backingName() == null, "a disk with a raw data file has no backing file");
        refuseUnless(
                (options.backingName() == null) == (options.backingFormat() == null),
                "a backing file comes with its format");
        refuseUnless(
                !options.mapped() || options.backingName() == null || options.extendedL2(),
                "a disk over a backing file can be laid out only with extended L2 entries");
        long l1Entries = Qcow2Header.l1EntriesFor(sizeBytes, clusterBits, options.extendedL2());
        refuseUnless(
                l1Entries * 8 <= L1_BYTES_MAX,
                "clusters of " + clusterBytes + " bytes are too small for a disk of that size");
        return (int) l1Entries;
    }

    private long clustersOf(long bytes) {
        return (bytes + clusterBytes - 1) >>> clusterBits;
    }

    private void lay(int l1Entries) throws BlockException {
        long l1Clusters = Math.max(1, clustersOf(l1Entries * 8L));
        long dataClusters = options.mapped() && options.dataName() == null ? clustersOf(sizeBytes) : 0;
        long tables = options.mapped() ? l1Entries : 0;
        long perBlock = (clusterBytes * 8) >>> options.refcountOrder();
        long blocks = 1;
        long tableClusters = 1;
        long total;
        while (true) {
            total = 1 + tableClusters + blocks + l1Clusters + tables + dataClusters;
            long blocksNeeded = (total + perBlock - 1) / perBlock;
            long tableNeeded = clustersOf(blocksNeeded * 8);
            if (blocksNeeded == blocks && tableNeeded == tableClusters) {
                break;
            }
            blocks = blocksNeeded;
            tableClusters = tableNeeded;
        }
        refuseUnless(tableClusters << clusterBits <= REFCOUNT_TABLE_BYTES_MAX, "its refcount table would be too long");
        long l1Offset = (1 + tableClusters + blocks) << clusterBits;
        file.resize(0);
        file.resize(total << clusterBits);
        counts(tableClusters, blocks, perBlock, total);
        if (options.mapped()) {
            tables(l1Offset, l1Entries, l1Offset + (l1Clusters << clusterBits));
        }
        file.flush();
        file.write(
                0,
                header(options, sizeBytes, l1Entries, l1Offset, clusterBytes, (int) tableClusters)
                        .encode(file));
        file.flush();
    }

    private void counts(long tableClusters, long blocks, long perBlock, long total) throws BlockException {
        byte[] table = new byte[(int) (tableClusters << clusterBits)];
        for (int i = 0; i < blocks; i++) {
            long offset = (1 + tableClusters + i) << clusterBits;
            u64(table, i * 8, offset);
            byte[] counts = new byte[(int) clusterBytes];
            for (int k = 0; k < perBlock && i * perBlock + k < total; k++) {
                Counts.set(counts, k, options.refcountOrder(), 1);
            }
            file.write(offset, counts);
        }
        file.write(clusterBytes, table);
    }

    private void tables(long l1Offset, int l1Entries, long firstTable) throws BlockException {
        byte[] l1 = new byte[l1Entries * 8];
        int words = options.extendedL2() ? 2 : 1;
        int perTable = (1 << (clusterBits - 3)) / words;
        long clusters = clustersOf(sizeBytes);
        long data = options.dataName() == null ? firstTable + ((long) l1Entries << clusterBits) : 0;
        for (int i = 0; i < l1Entries; i++) {
            long table = firstTable + ((long) i << clusterBits);
            u64(l1, i * 8, table | COPIED);
            byte[] entries = new byte[(int) clusterBytes];
            long first = (long) i * perTable;
            for (int k = 0; k < perTable && first + k < clusters; k++) {
                u64(entries, k * words * 8, (data + ((first + k) << clusterBits)) | COPIED);
                if (words > 1 && options.backingName() == null) {
                    u64(entries, k * words * 8 + 8, Subclusters.ALL_ALLOCATED);
                }
            }
            file.write(table, entries);
        }
        file.write(l1Offset, l1);
    }

    /** The header of an image that is new. */
    static Qcow2Header header(
            Qcow2Options options, long sizeBytes, int l1Entries, long l1Offset, long tableOffset, int tableClusters) {
        int clusterBits = options.clusterBits();
        boolean three = options.version() == 3;
        String format = options.backingFormat();
        List<HeaderExtension> extensions = new ArrayList<>();
        if (format != null) {
            extensions.add(HeaderExtension.text(EXTENSION_BACKING_FORMAT, format));
        }
        String data = options.dataName();
        if (data != null) {
            extensions.add(HeaderExtension.text(EXTENSION_DATA_FILE, data));
        }
        if (three && clusterBits > CLUSTER_BITS_MIN) {
            extensions.add(new HeaderExtension(EXTENSION_FEATURE_NAMES, new Blob(featureNames())));
        }
        return new Qcow2Header(
                options.version(),
                options.backingName(),
                clusterBits,
                sizeBytes,
                l1Entries,
                l1Offset,
                tableOffset,
                tableClusters,
                0,
                0,
                (options.zstd() ? INCOMPATIBLE_COMPRESSION : 0)
                        | (options.extendedL2() ? INCOMPATIBLE_EXTENDED_L2 : 0)
                        | (data == null ? 0 : INCOMPATIBLE_DATA_FILE),
                0,
                options.dataRaw() ? AUTOCLEAR_RAW_DATA : 0,
                options.refcountOrder(),
                three ? 112 : V2_BYTES,
                options.zstd() ? 1 : 0,
                Blob.EMPTY,
                extensions);
    }

    /** For older programs, which then can say by name what it is that they do not know. */
    private static byte[] featureNames() {
        String[] names = {"dirty bit", "corrupt bit", "external data file", "compression type", "extended L2 entries"};
        byte[] table = new byte[48 * names.length];
        for (int bit = 0; bit < names.length; bit++) {
            table[48 * bit + 1] = (byte) bit;
            byte[] name = names[bit].getBytes(StandardCharsets.US_ASCII);
            System.arraycopy(name, 0, table, 48 * bit + 2, name.length);
        }
        return table;
    }
}
