package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Header.sound;
import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.FlatExtent;
import dev.ferry.image.sparse.JoinedExtents;
import dev.ferry.image.sparse.SparseExtent;
import dev.ferry.image.sparse.TableCache;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * An image with features that are read here and not written: extended L2 entries, by which a cluster is allocated in 32 parts,
 * and data that lies in a file of its own. Its compressed clusters are not read. Opening reads the one file only.
 */
public final class Qcow2Extended {
    private static final long FEATURES = INCOMPATIBLE_EXTENDED_L2 | INCOMPATIBLE_DATA_FILE;

    private final String name;
    private final Qcow2Header header;
    private final long[] l1;

    private Qcow2Extended(String name, Qcow2Header header, long[] l1) {
        this.name = name;
        this.header = header;
        this.l1 = l1;
    }

    /** True if a qcow2 file has such features. */
    public static boolean isOne(FileBytes file) throws BlockException {
        return (Qcow2Header.readAny(file).incompatible() & FEATURES) != 0;
    }

    public static Qcow2Extended open(FileBytes file) throws BlockException {
        Qcow2Header header = Qcow2Header.readAny(file);
        long[] l1 = Qcow2Image.longs(file, header.l1Offset(), header.l1Entries());
        for (long entry : l1) {
            sound(
                    file,
                    (entry & ~(OFFSET_MASK | COPIED)) == 0 && (hostOffset(entry) & (header.clusterBytes() - 1)) == 0,
                    "an entry of its L1 table is damaged");
        }
        return new Qcow2Extended(file.name(), header, l1);
    }

    /** The file that its data is in, as the image names it, a claim; null where that is the image itself. */
    public @Nullable String dataFileName() {
        return dataFileName(header);
    }

    static @Nullable String dataFileName(Qcow2Header header) {
        if ((header.incompatible() & INCOMPATIBLE_DATA_FILE) == 0) {
            return null;
        }
        byte[] named = header.extension(EXTENSION_DATA_FILE);
        return named == null ? "" : new String(named, StandardCharsets.UTF_8);
    }

    /** The backing file as the image names it: a claim. */
    public @Nullable String backingName() {
        return header.backingName();
    }

    /** The backing file's format as the image names it. */
    public @Nullable String backingFormat() {
        return header.backingFormat();
    }

    /**
     * The disk; closing it closes everything that it is made of.
     *
     * @param file what this was read from
     * @param data the file that the data is in; the same, where that is the image itself
     * @param backing what shows through, if there is something
     */
    public BlockDevice device(BlockDevice file, BlockDevice data, @Nullable BlockDevice backing) {
        long clusterBytes = header.clusterBytes();
        boolean extended = (header.incompatible() & INCOMPATIBLE_EXTENDED_L2) != 0;
        int pageBytes = (int) Math.min(clusterBytes, SubclusterMap.PAGE_BYTES_MAX);
        TableCache tables = new TableCache(name, file, pageBytes);
        SubclusterMap map = new SubclusterMap(l1, tables, clusterBytes, extended, data != file);
        int grainBytes = (int) (extended ? clusterBytes / SubclusterMap.SUBCLUSTERS : clusterBytes);
        List<BlockDevice> parts = new ArrayList<>();
        parts.add(new SparseExtent(
                name, data, header.sizeBytes(), grainBytes, map, backing == null ? null : new Below(backing, 0)));
        if (data != file) {
            parts.add(new FlatExtent(name, file, 0, 0));
        }
        if (backing != null) {
            parts.add(new FlatExtent(name, backing, 0, 0));
        }
        return parts.size() == 1 ? parts.getFirst() : new JoinedExtents(name, parts);
    }
}
