package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The header of a qcow2 file, checked: every number is within its bounds, every table within the file. What is not so is
 * {@link ErrorKind#CORRUPT}; what is well-formed and beyond this software is {@link ErrorKind#UNSUPPORTED}, by its name.
 *
 * @param backingName as it stands in the file, null if there is none; nothing here ever opens it
 * @param bytes length of the header structure
 * @param unknownFields what follows the fields known here, up to {@code bytes}
 */
record Qcow2Header(
        int version,
        @Nullable String backingName,
        int clusterBits,
        long sizeBytes,
        int l1Entries,
        long l1Offset,
        long refcountTableOffset,
        int refcountTableClusters,
        int snapshotCount,
        long snapshotOffset,
        long incompatible,
        long compatible,
        long autoclear,
        int refcountOrder,
        int bytes,
        int compressionType,
        Blob unknownFields,
        List<HeaderExtension> extensions) {
    private static final int KNOWN_BYTES = 112;
    private static final long KNOWN_INCOMPATIBLE = INCOMPATIBLE_DIRTY
            | INCOMPATIBLE_CORRUPT
            | INCOMPATIBLE_DATA_FILE
            | INCOMPATIBLE_COMPRESSION
            | INCOMPATIBLE_EXTENDED_L2;

    long clusterBytes() {
        return 1L << clusterBits;
    }

    boolean dirty() {
        return (incompatible & INCOMPATIBLE_DIRTY) != 0;
    }

    boolean corrupt() {
        return (incompatible & INCOMPATIBLE_CORRUPT) != 0;
    }

    /** Guest clusters that one L2 table describes. */
    int tableEntries() {
        return tableWords() / wordsInEntry();
    }

    /** L2 entries have a second word, which says of parts of their cluster what they are. */
    boolean extended() {
        return (incompatible & INCOMPATIBLE_EXTENDED_L2) != 0;
    }

    /** Of an entry of an L2 table. */
    int entryBytes() {
        return extended() ? 2 * Long.BYTES : Long.BYTES;
    }

    /** Numbers of 8 bytes in an L2 table; each entry is one, or two where they are extended. */
    int tableWords() {
        return 1 << (clusterBits - 3);
    }

    int wordsInEntry() {
        return entryBytes() / Long.BYTES;
    }

    /** Bit 0 of an L2 entry says that its cluster reads as zeroes. */
    boolean flagged() {
        return version >= 3 && !extended();
    }

    /** What an L2 entry says of its cluster as a whole. */
    int kind(long entry) {
        return Qcow2Layout.kind(entry, clusterBytes() - 1, flagged(), external());
    }

    /** Data is in a file of its own. */
    boolean external() {
        return (incompatible & INCOMPATIBLE_DATA_FILE) != 0;
    }

    /** That file is what the guest sees, byte by byte. */
    boolean rawData() {
        return (autoclear & AUTOCLEAR_RAW_DATA) != 0;
    }

    /** The file that data is in, as the image names it, a claim; empty if it does not say, null where that is the image itself. */
    @Nullable
    String dataFileName() {
        if (!external()) {
            return null;
        }
        byte[] named = extension(EXTENSION_DATA_FILE);
        return named == null ? "" : new String(named, StandardCharsets.UTF_8);
    }

    /** Clusters that one refcount block counts. */
    long countsInBlock() {
        return (clusterBytes() * 8) >>> refcountOrder;
    }

    long l1EntriesFor(long diskBytes) {
        return l1EntriesFor(diskBytes, clusterBits, extended());
    }

    static long l1EntriesFor(long sizeBytes, int clusterBits, boolean extended) {
        int bits = 2 * clusterBits - (extended ? 4 : 3);
        return (sizeBytes >>> bits) + ((sizeBytes & ((1L << bits) - 1)) != 0 ? 1 : 0);
    }

    byte @Nullable [] extension(int type) {
        for (HeaderExtension extension : extensions) {
            if (extension.type() == type) {
                return extension.data().bytes();
            }
        }
        return null;
    }

    @Nullable
    String backingFormat() {
        byte[] data = extension(EXTENSION_BACKING_FORMAT);
        return data == null ? null : new String(data, StandardCharsets.UTF_8);
    }

    /** True if a file begins as a qcow2 file does. */
    static boolean begins(byte[] first) {
        return first.length >= 4 && s32(first, 0) == MAGIC;
    }

    // ---- reading

    static Qcow2Header read(FileBytes file) throws BlockException {
        byte[] first = file.read(0, KNOWN_BYTES);
        if (!begins(first)) {
            throw flaw(file, ErrorKind.INVALID, "it is not a qcow2 file");
        }
        int version = s32(first, VERSION);
        if (version != 2 && version != 3) {
            throw flaw(
                    file, ErrorKind.UNSUPPORTED, "qcow2 version " + (version & 0xffff_ffffL) + "; 2 and 3 are known");
        }
        int clusterBits = bounded(file, first, CLUSTER_BITS, CLUSTER_BITS_MIN, CLUSTER_BITS_MAX, "cluster_bits");
        int clusterBytes = 1 << clusterBits;
        byte[] cluster = file.read(0, clusterBytes);
        boolean three = version == 3;
        int bytes = three ? bounded(file, first, HEADER_LENGTH, V3_BYTES_MIN, clusterBytes, "header_length") : V2_BYTES;
        sound(file, bytes % 8 == 0, "header_length is no multiple of 8");
        int compression = bytes > COMPRESSION_TYPE ? first[COMPRESSION_TYPE] & 0xff : 0;
        String backing = backingName(file, cluster, bytes);
        List<HeaderExtension> extensions = extensions(file, cluster, bytes);
        Qcow2Header header = new Qcow2Header(
                version,
                backing,
                clusterBits,
                u64(first, SIZE),
                bounded(file, first, L1_ENTRIES, 0, (int) (L1_BYTES_MAX / 8), "l1_size"),
                u64(first, L1_OFFSET),
                u64(first, REFCOUNT_TABLE_OFFSET),
                bounded(
                        file,
                        first,
                        REFCOUNT_TABLE_CLUSTERS,
                        1,
                        (int) Math.max(1, REFCOUNT_TABLE_BYTES_MAX >> clusterBits),
                        "refcount_table_clusters"),
                bounded(file, first, SNAPSHOT_COUNT, 0, SNAPSHOTS_MAX, "nb_snapshots"),
                u64(first, SNAPSHOT_OFFSET),
                three ? u64(first, INCOMPATIBLE) : 0,
                three ? u64(first, COMPATIBLE) : 0,
                three ? u64(first, AUTOCLEAR) : 0,
                three ? bounded(file, first, REFCOUNT_ORDER, 0, REFCOUNT_ORDER_MAX, "refcount_order") : 4,
                bytes,
                compression,
                bytes > KNOWN_BYTES ? new Blob(Arrays.copyOfRange(cluster, KNOWN_BYTES, bytes)) : Blob.EMPTY,
                extensions);
        header.refuseWhatIsUnknown(file, s32(first, CRYPT_METHOD));
        header.validate(file);
        return header;
    }

    private static @Nullable String backingName(FileBytes file, byte[] cluster, int headerBytes) throws BlockException {
        long offset = u64(cluster, BACKING_OFFSET);
        if (offset == 0) {
            return null;
        }
        long length = u32(cluster, BACKING_LENGTH);
        sound(file, length <= BACKING_NAME_BYTES_MAX, "backing_file_size is above " + BACKING_NAME_BYTES_MAX);
        sound(
                file,
                offset >= headerBytes && offset <= cluster.length - length,
                "backing_file_offset is not in the first cluster");
        return new String(cluster, (int) offset, (int) length, StandardCharsets.UTF_8);
    }

    private static List<HeaderExtension> extensions(FileBytes file, byte[] cluster, int headerBytes)
            throws BlockException {
        long backing = u64(cluster, BACKING_OFFSET);
        int end = backing > headerBytes && backing < cluster.length ? (int) backing : cluster.length;
        List<HeaderExtension> found = new ArrayList<>();
        int at = headerBytes;
        while (at + 8 <= end && s32(cluster, at) != EXTENSION_END) {
            int type = s32(cluster, at);
            long length = u32(cluster, at + 4);
            sound(file, length <= end - at - 8, "a header extension goes past its area");
            found.add(new HeaderExtension(type, new Blob(Arrays.copyOfRange(cluster, at + 8, at + 8 + (int) length))));
            at += 8 + (((int) length + 7) & ~7);
        }
        return List.copyOf(found);
    }

    private void refuseWhatIsUnknown(FileBytes file, int cryptMethod) throws BlockException {
        if (cryptMethod != 0) {
            String method = cryptMethod == 1 ? "AES" : cryptMethod == 2 ? "LUKS" : "method " + cryptMethod;
            throw flaw(file, ErrorKind.UNSUPPORTED, "it is encrypted (" + method + "), which Ferry does not read");
        }
        long unknown = incompatible & ~KNOWN_INCOMPATIBLE;
        if (unknown != 0) {
            List<String> names = new ArrayList<>();
            for (int bit = 0; bit < 64; bit++) {
                if ((unknown >>> bit & 1) != 0) {
                    names.add(featureName(bit));
                }
            }
            throw flaw(
                    file,
                    ErrorKind.UNSUPPORTED,
                    "it needs features that this version has not: " + String.join(", ", names));
        }
        boolean named = (incompatible & INCOMPATIBLE_COMPRESSION) != 0;
        sound(file, named == (compressionType != 0), "compression_type and its feature bit contradict each other");
        if (compressionType > 1) {
            throw flaw(
                    file, ErrorKind.UNSUPPORTED, "compression type " + compressionType + "; zlib and zstd are known");
        }
    }

    private String featureName(int bit) {
        byte[] table = extension(EXTENSION_FEATURE_NAMES);
        for (int at = 0; table != null && at + 48 <= table.length; at += 48) {
            if (table[at] == 0 && table[at + 1] == bit) {
                String name = new String(table, at + 2, 46, StandardCharsets.ISO_8859_1);
                return name.replaceAll("[^ -~]", "").strip();
            }
        }
        return "feature bit " + bit;
    }

    private void validate(FileBytes file) throws BlockException {
        sound(file, sizeBytes >= 0, "its size is above 2^63");
        long tableBytes = (long) tableEntries() << clusterBits;
        sound(
                file,
                !extended() || clusterBits >= EXTENDED_CLUSTER_BITS_MIN,
                "extended L2 entries want clusters of 16 KiB at least");
        sound(
                file,
                sizeBytes / tableBytes + (sizeBytes % tableBytes == 0 ? 0 : 1) <= l1Entries,
                "the L1 table is too small for the disk");
        table(file, "L1 table", l1Offset, l1Entries * 8L);
        table(file, "refcount table", refcountTableOffset, (long) refcountTableClusters << clusterBits);
        sound(file, refcountTableOffset != 0, "it has no refcount table");
        if (snapshotCount > 0) {
            table(file, "snapshot table", snapshotOffset, snapshotCount * 40L);
        }
        boolean bitmaps = (autoclear & AUTOCLEAR_BITMAPS) != 0;
        byte[] extension = extension(EXTENSION_BITMAPS);
        sound(file, !bitmaps || extension != null, "it claims bitmaps and has none");
        sound(file, !rawData() || external(), "it says that its data file is raw, and has none");
    }

    /** A table begins at a cluster, and lies in the file. */
    void table(FileBytes file, String what, long offset, long lengthBytes) throws BlockException {
        sound(file, (offset & (clusterBytes() - 1)) == 0, "the " + what + " does not begin at a cluster");
        sound(
                file,
                lengthBytes == 0
                        || (offset > 0
                                && lengthBytes <= file.lengthBytes()
                                && offset <= file.lengthBytes() - lengthBytes),
                "the " + what + " goes past the end of the file");
    }

    private static int bounded(FileBytes file, byte[] bytes, int at, int least, int most, String what)
            throws BlockException {
        long value = u32(bytes, at);
        sound(file, value >= least && value <= most, what + " is " + value + ", not from " + least + " to " + most);
        return (int) value;
    }

    static void sound(FileBytes file, boolean holds, String otherwise) throws BlockException {
        if (!holds) {
            throw flaw(file, ErrorKind.CORRUPT, otherwise);
        }
    }

    static BlockException flaw(FileBytes file, ErrorKind kind, String detail) {
        return BlockError.of(kind, file.name(), "open", detail).toException();
    }

    // ---- writing

    /** The first cluster; what is not known here comes back as it was. */
    byte[] encode(FileBytes file) throws BlockException {
        byte[] cluster = new byte[1 << clusterBits];
        s32(cluster, 0, MAGIC);
        s32(cluster, VERSION, version);
        s32(cluster, CLUSTER_BITS, clusterBits);
        u64(cluster, SIZE, sizeBytes);
        s32(cluster, L1_ENTRIES, l1Entries);
        u64(cluster, L1_OFFSET, l1Offset);
        u64(cluster, REFCOUNT_TABLE_OFFSET, refcountTableOffset);
        s32(cluster, REFCOUNT_TABLE_CLUSTERS, refcountTableClusters);
        s32(cluster, SNAPSHOT_COUNT, snapshotCount);
        u64(cluster, SNAPSHOT_OFFSET, snapshotOffset);
        if (version == 3) {
            u64(cluster, INCOMPATIBLE, incompatible);
            u64(cluster, COMPATIBLE, compatible);
            u64(cluster, AUTOCLEAR, autoclear);
            s32(cluster, REFCOUNT_ORDER, refcountOrder);
            s32(cluster, HEADER_LENGTH, bytes);
            if (bytes > COMPRESSION_TYPE) {
                cluster[COMPRESSION_TYPE] = (byte) compressionType;
            }
            System.arraycopy(unknownFields.bytes(), 0, cluster, KNOWN_BYTES, unknownFields.bytes().length);
        }
        int at = bytes;
        for (HeaderExtension extension : extensions) {
            roomFor(file, cluster, at, extension.paddedBytes() + 8);
            s32(cluster, at, extension.type());
            byte[] data = extension.data().bytes();
            s32(cluster, at + 4, data.length);
            System.arraycopy(data, 0, cluster, at + 8, data.length);
            at += extension.paddedBytes();
        }
        at = Math.min(cluster.length, at + 8);
        if (backingName != null) {
            byte[] name = backingName.getBytes(StandardCharsets.UTF_8);
            roomFor(file, cluster, at, name.length);
            u64(cluster, BACKING_OFFSET, at);
            s32(cluster, BACKING_LENGTH, name.length);
            System.arraycopy(name, 0, cluster, at, name.length);
        }
        return cluster;
    }

    private static void roomFor(FileBytes file, byte[] cluster, int at, int bytes) throws BlockException {
        if (bytes > cluster.length - at) {
            throw flaw(
                    file, ErrorKind.INVALID, "the header does not fit into a cluster of " + cluster.length + " bytes");
        }
    }
}
