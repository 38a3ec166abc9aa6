package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a qcow2 file says of itself.
 *
 * @param sizeBytes of the disk
 * @param extendedL2 clusters are allocated in parts
 * @param dataFileName the file that the data is in, as it stands in the image; null where that is the image
 * @param rawData that file is what the guest sees, byte by byte
 * @param backingName the backing file, as it stands in the image; it has not been looked at
 */
public record Qcow2Description(
        int version,
        long sizeBytes,
        long clusterBytes,
        int refcountBits,
        String compression,
        boolean lazyRefcounts,
        boolean dirty,
        boolean corrupt,
        boolean extendedL2,
        @Nullable String dataFileName,
        boolean rawData,
        @Nullable String backingName,
        @Nullable String backingFormat,
        List<SnapshotDescription> snapshots,
        List<BitmapDescription> bitmaps) {
    /** An internal snapshot. */
    public record SnapshotDescription(
            String id, String name, long sizeBytes, long seconds, int nanos, long guestNanos, long vmStateBytes) {}

    /** A persistent dirty bitmap. */
    public record BitmapDescription(String name, long granularityBytes, boolean inUse, boolean auto) {}

    public Qcow2Description {
        snapshots = List.copyOf(snapshots);
        bitmaps = List.copyOf(bitmaps);
    }

    /** Reads it; opens nothing else, whatever the image names. */
    public static Qcow2Description of(FileBytes file) throws BlockException {
        Qcow2Header header = Qcow2Header.read(file);
        List<SnapshotDescription> snapshots = new ArrayList<>();
        for (Snapshot one : Snapshot.read(file, header).snapshots()) {
            snapshots.add(new SnapshotDescription(
                    one.id(),
                    one.name(),
                    one.sizeBytes(),
                    one.seconds(),
                    one.nanos(),
                    one.guestNanos(),
                    one.vmStateBytes()));
        }
        List<BitmapDescription> bitmaps = new ArrayList<>();
        for (StoredBitmap one : StoredBitmap.read(file, header).bitmaps()) {
            bitmaps.add(new BitmapDescription(
                    one.name(),
                    1L << Math.min(62, one.granularityBits()),
                    (one.flags() & StoredBitmap.IN_USE) != 0,
                    (one.flags() & StoredBitmap.AUTO) != 0));
        }
        return new Qcow2Description(
                header.version(),
                header.sizeBytes(),
                header.clusterBytes(),
                1 << header.refcountOrder(),
                header.compressionType() == 1 ? "zstd" : "zlib",
                (header.compatible() & COMPATIBLE_LAZY_REFCOUNTS) != 0,
                header.dirty(),
                header.corrupt(),
                (header.incompatible() & INCOMPATIBLE_EXTENDED_L2) != 0,
                header.dataFileName(),
                header.rawData(),
                header.backingName(),
                header.backingFormat(),
                snapshots,
                bitmaps);
    }
}
