package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.DeltaFile;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.SparseExtent;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * A VHDX file that has been opened and found sound as far as its header, its regions and its metadata go. One that was not
 * closed properly has changes in its log that have to be made first; it is refused, and nothing is changed here.
 */
public final class VhdxImage implements DeltaFile {
    private static final UUID NONE = new UUID(0, 0);

    private final String name;
    private final UUID dataIdentity;
    private final long tableAt;
    private final VhdxMetadata metadata;

    private VhdxImage(String name, UUID dataIdentity, long tableAt, VhdxMetadata metadata) {
        this.name = name;
        this.dataIdentity = dataIdentity;
        this.tableAt = tableAt;
        this.metadata = metadata;
    }

    /** A part of the file. */
    record Region(long offset, long length) {}

    /** True if a file begins as VHDX files do. */
    public static boolean looksLikeOne(FileBytes file) throws BlockException {
        return u64(file.read(0, Long.BYTES), 0) == FILE_MAGIC;
    }

    /** Reads all but the table of blocks, and changes nothing. */
    public static VhdxImage open(FileBytes file) throws BlockException {
        if (!looksLikeOne(file)) {
            throw flaw(file, ErrorKind.INVALID, "it is not a VHDX file");
        }
        byte[] header = header(file);
        if (u16(header, VERSION) != 1) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "VHDX version " + u16(header, VERSION) + "; 1 is known");
        }
        if (!identity(header, LOG_IDENTITY).equals(NONE)) {
            throw flaw(
                    file,
                    ErrorKind.UNSUPPORTED,
                    "it was not closed properly, or is in use: changes are in its log that have to be made first, as"
                            + " Hyper-V does when it opens the disk, and qemu-img check -r all");
        }
        byte[] regions = regions(file);
        VhdxMetadata metadata = VhdxMetadata.read(file, region(file, regions, METADATA_REGION, METADATA_BYTES_MAX));
        Region table = region(file, regions, TABLE_REGION, Long.MAX_VALUE);
        long blocks = (metadata.sizeBytes() + metadata.blockBytes() - 1) / metadata.blockBytes();
        long ratio = ratio(metadata);
        long chunks = (blocks + ratio - 1) / ratio;
        long entries = metadata.parent() == null ? blocks + (blocks - 1) / ratio : chunks * (ratio + 1);
        require(file, entries * Long.BYTES <= table.length(), "its table of blocks is too short for the disk");
        return new VhdxImage(file.name(), identity(header, DATA_IDENTITY), table.offset(), metadata);
    }

    private static long ratio(VhdxMetadata metadata) {
        return CHUNK_SECTORS * metadata.sectorBytes() / metadata.blockBytes();
    }

    /** The newer one of those that are sound. */
    private static byte[] header(FileBytes file) throws BlockException {
        byte[] newest = null;
        for (int at : HEADERS) {
            byte[] header = file.read(at, HEADER_BYTES);
            boolean sound = u32(header, 0) == HEADER_MAGIC && sound(header);
            if (sound && (newest == null || Long.compareUnsigned(u64(header, SEQUENCE), u64(newest, SEQUENCE)) > 0)) {
                newest = header;
            }
        }
        if (newest == null) {
            throw flaw(file, ErrorKind.CORRUPT, "both of its headers are damaged");
        }
        return newest;
    }

    private static byte[] regions(FileBytes file) throws BlockException {
        for (int at : REGION_TABLES) {
            byte[] regions = file.read(at, REGION_TABLE_BYTES);
            if (u32(regions, 0) == REGION_MAGIC && sound(regions) && u32(regions, REGION_COUNT) <= ENTRIES_MAX) {
                return regions;
            }
        }
        throw flaw(file, ErrorKind.CORRUPT, "both of its region tables are damaged");
    }

    private static Region region(FileBytes file, byte[] regions, UUID wanted, long lengthMax) throws BlockException {
        Region found = null;
        for (int i = 0; i < u32(regions, REGION_COUNT); i++) {
            int at = REGION_ENTRIES + i * ENTRY_BYTES;
            UUID kind = identity(regions, at);
            if (kind.equals(wanted)) {
                found = new Region(u64(regions, at + 16), u32(regions, at + 24));
            } else if (!kind.equals(TABLE_REGION) && !kind.equals(METADATA_REGION)) {
                boolean required = (u32(regions, at + 28) & 1) != 0;
                if (required) {
                    throw flaw(file, ErrorKind.UNSUPPORTED, "it needs a region that this version does not know");
                }
            }
        }
        require(
                file,
                found != null
                        && found.offset() > 0
                        && found.length() <= lengthMax
                        && found.length() <= file.lengthBytes()
                        && found.offset() <= file.lengthBytes() - found.length(),
                "a region of it is missing, or past the end of the file");
        return java.util.Objects.requireNonNull(found);
    }

    public long sizeBytes() {
        return metadata.sizeBytes();
    }

    @Override
    public boolean delta() {
        return metadata.parent() != null;
    }

    @Override
    public List<String> parentNames() {
        VhdxMetadata.Parent parent = metadata.parent();
        Set<String> names = new LinkedHashSet<>();
        for (String path : parent == null ? List.<String>of() : parent.paths()) {
            String last = Neighbours.lastOf(path);
            if (Neighbours.isName(last)) {
                names.add(last);
            }
        }
        return List.copyOf(names);
    }

    @Override
    public @Nullable String flawOfParent(DeltaFile candidate) {
        VhdxMetadata.Parent parent = metadata.parent();
        String has = candidate instanceof VhdxImage other ? other.dataIdentity.toString() : "no";
        return parent == null || parent.identities().contains(has)
                ? null
                : "holds data of identity " + has + ", and it was made over " + String.join(" or ", parent.identities())
                        + ": the parent has been written to since, or is another disk";
    }

    @Override
    public BlockDevice device(BlockDevice file, @Nullable Below below) {
        int blockBytes = metadata.blockBytes();
        int grainBytes = below == null ? blockBytes : metadata.sectorBytes();
        BlockMap map = new BlockMap(name, file, tableAt, ratio(metadata), grainBytes, blockBytes / grainBytes);
        return new SparseExtent(name, file, metadata.sizeBytes(), grainBytes, map, below);
    }

    static void require(FileBytes file, boolean holds, String otherwise) throws BlockException {
        if (!holds) {
            throw flaw(file, ErrorKind.CORRUPT, otherwise);
        }
    }

    static BlockException flaw(FileBytes file, ErrorKind kind, String detail) {
        return BlockError.of(kind, file.name(), "open", detail).toException();
    }
}
