package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.Census;
import dev.ferry.image.sparse.DeltaFile;
import dev.ferry.image.sparse.FirstChange;
import dev.ferry.image.sparse.GrainCensus;
import dev.ferry.image.sparse.GrowingExtent;
import dev.ferry.image.sparse.GrowingMap;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.SparseExtent;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * A VHDX file that has been opened and found sound as far as its header, its regions and its metadata go. One that was not
 * closed properly has changes in its log that have to be made first: who reads sees the file as it is with them, who writes
 * has them made in the file.
 */
public final class VhdxImage implements DeltaFile {
    private static final UUID NONE = new UUID(0, 0);
    private static final int HEADERS_BYTES = 1 << 20;
    private static final int ENTRIES_AT_ONCE = 1 << 16;
    private static final int STATE_UNKNOWN = 4;

    private final String name;
    private final UUID dataIdentity;
    private final Region table;
    private final long tableAt;
    private final VhdxMetadata metadata;
    private final Header header;
    private final List<Region> reserved;
    private final List<VhdxLog.Change> replayed;

    private VhdxImage(
            String name,
            Header header,
            Region table,
            VhdxMetadata metadata,
            List<Region> reserved,
            List<VhdxLog.Change> replayed) {
        this.name = name;
        this.header = header;
        this.dataIdentity = identity(header.bytes(), DATA_IDENTITY);
        this.table = table;
        this.tableAt = table.offset();
        this.metadata = metadata;
        this.reserved = reserved;
        this.replayed = replayed;
    }

    /** A part of the file. */
    record Region(long offset, long length) {}

    /** The header that counts, and where the next one is to be written. */
    private static final class Header {
        private final byte[] bytes;
        private final int otherAt;

        Header(byte[] bytes, int otherAt) {
            this.bytes = bytes;
            this.otherAt = otherAt;
        }

        byte[] bytes() {
            return bytes;
        }

        int otherAt() {
            return otherAt;
        }

        /** The one that follows it. */
        byte[] following(UUID fileIdentity, UUID dataIdentity) {
            return VhdxCreator.header(
                    u64(bytes, SEQUENCE) + 1,
                    fileIdentity,
                    dataIdentity,
                    u64(bytes, LOG_PLACE),
                    u32(bytes, LOG_LENGTH));
        }
    }

    /** True if a file begins as VHDX files do. */
    public static boolean looksLikeOne(FileBytes file) throws BlockException {
        return u64(file.read(0, Long.BYTES), 0) == FILE_MAGIC;
    }

    /** Reads all but the table of blocks, and changes nothing. */
    public static VhdxImage open(FileBytes file) throws BlockException {
        Header header = header(file);
        if (identity(header.bytes(), LOG_IDENTITY).equals(NONE)) {
            return read(file, header, List.of());
        }
        List<VhdxLog.Change> changes = VhdxLog.read(file, header.bytes());
        return read(new ReplayedFile.Bytes(file, changes), header, changes);
    }

    /** Makes the changes in the log of a file that was not closed properly, if it was not. */
    public static void replay(FileBytes file) throws BlockException {
        Header header = header(file);
        if (identity(header.bytes(), LOG_IDENTITY).equals(NONE)) {
            return;
        }
        VhdxImage image = open(file);
        VhdxLog.apply(file, image.replayed);
        byte[] empty =
                header.following(identity(header.bytes(), FILE_IDENTITY), identity(header.bytes(), DATA_IDENTITY));
        file.write(header.otherAt(), empty);
        file.flush();
    }

    private static VhdxImage read(FileBytes file, Header header, List<VhdxLog.Change> replayed) throws BlockException {
        byte[] regions = regions(file);
        Region metadataAt = region(file, regions, METADATA_REGION, METADATA_BYTES_MAX);
        VhdxMetadata metadata = VhdxMetadata.read(file, metadataAt);
        Region table = region(file, regions, TABLE_REGION, Long.MAX_VALUE);
        long blocks = (metadata.sizeBytes() + metadata.blockBytes() - 1) / metadata.blockBytes();
        long ratio = ratio(metadata);
        long chunks = (blocks + ratio - 1) / ratio;
        long entries = metadata.parent() == null ? blocks + (blocks - 1) / ratio : chunks * (ratio + 1);
        require(file, entries * Long.BYTES <= table.length(), "its table of blocks is too short for the disk");
        Region log = new Region(u64(header.bytes(), LOG_PLACE), u32(header.bytes(), LOG_LENGTH));
        List<Region> reserved = List.of(new Region(0, HEADERS_BYTES), log, metadataAt, table);
        return new VhdxImage(file.name(), header, table, metadata, reserved, replayed);
    }

    private static long ratio(VhdxMetadata metadata) {
        return CHUNK_SECTORS * metadata.sectorBytes() / metadata.blockBytes();
    }

    /** The newer one of those that are sound. */
    private static Header header(FileBytes file) throws BlockException {
        if (!looksLikeOne(file)) {
            throw flaw(file, ErrorKind.INVALID, "it is not a VHDX file");
        }
        Header newest = null;
        for (int i = 0; i < HEADERS.length; i++) {
            byte[] header = file.read(HEADERS[i], HEADER_BYTES);
            boolean sound = u32(header, 0) == HEADER_MAGIC && sound(header);
            if (sound
                    && (newest == null
                            || Long.compareUnsigned(u64(header, SEQUENCE), u64(newest.bytes(), SEQUENCE)) > 0)) {
                newest = new Header(header, HEADERS[1 - i]);
            }
        }
        if (newest == null) {
            throw flaw(file, ErrorKind.CORRUPT, "both of its headers are damaged");
        }
        int version = u16(newest.bytes(), VERSION);
        if (version != 1) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "VHDX version " + version + "; 1 is known");
        }
        return newest;
    }

    /** The regions that count: the first copy that is sound. */
    static byte[] regions(FileBytes file) throws BlockException {
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
        return Objects.requireNonNull(found);
    }

    public long sizeBytes() {
        return metadata.sizeBytes();
    }

    // ---- for what changes its size, or its names

    /** It was not closed properly, and has changes in its log. */
    boolean openLog() {
        return !identity(header.bytes(), LOG_IDENTITY).equals(NONE);
    }

    /** Where the metadata of a file are, which has been opened and found sound. */
    static Region metadataRegion(FileBytes file) throws BlockException {
        return region(file, regions(file), METADATA_REGION, METADATA_BYTES_MAX);
    }

    VhdxMetadata metadata() {
        return metadata;
    }

    Region table() {
        return table;
    }

    long ratio() {
        return ratio(metadata);
    }

    /** What is no block, held apart from each other. */
    List<Region> reserved(FileBytes bytes) throws BlockException {
        checkApart(bytes);
        return reserved;
    }

    /** Says that somebody changes the data. */
    void markChanged(FileBytes file, UUID fresh) throws BlockException {
        file.write(header.otherAt(), header.following(fresh, fresh));
        file.flush();
    }

    /** What tells its data from all others; another one when it has been written to. */
    public UUID dataIdentity() {
        return dataIdentity;
    }

    public int sectorBytes() {
        return metadata.sectorBytes();
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
        BlockDevice whole = replayed.isEmpty() ? file : new ReplayedFile(name, file, replayed);
        BlockMap map = new BlockMap(name, whole, tableAt, ratio(metadata), grainBytes, blockBytes / grainBytes);
        return new SparseExtent(name, whole, metadata.sizeBytes(), grainBytes, map, below);
    }

    /**
     * The disk, to be read and written.
     *
     * @param bytes the file that this was read from, after {@link #replay}
     * @param file the same, which grows
     * @param fresh any identity; from the first change on it is that of the data
     * @param below the parent of a differencing disk
     */
    public BlockDevice writable(Loop loop, FileBytes bytes, BlockDevice file, UUID fresh, @Nullable Below below)
            throws BlockException {
        Invariant.that(replayed.isEmpty(), "the log has been replayed");
        checkApart(bytes);
        int blockBytes = metadata.blockBytes();
        int grainBytes = below == null ? blockBytes : metadata.sectorBytes();
        BlockMap map = new BlockMap(name, file, tableAt, ratio(metadata), grainBytes, blockBytes / grainBytes);
        GrowingMap places = below == null
                ? new GrowingBlocks(file, map, blockBytes, reserved)
                : new GrowingSectors(name, file, map, blockBytes, grainBytes, reserved);
        BlockDevice disk = new GrowingExtent(loop, name, file, metadata.sizeBytes(), grainBytes, places, below);
        byte[] changed = header.following(fresh, fresh);
        return new FirstChange(disk, List.of(FirstChange.Mark.of(file, header.otherAt(), changed, changed)));
    }

    /** Holds blocks, and bitmaps of them, to where they can lie. */
    public Census check(FileBytes file) throws BlockException {
        FileBytes whole = replayed.isEmpty() ? file : new ReplayedFile.Bytes(file, replayed);
        GrainCensus census = new GrainCensus(whole, metadata.blockBytes(), false);
        reserved.forEach(region -> census.reserve(region.offset(), region.length()));
        long blocks = (metadata.sizeBytes() + metadata.blockBytes() - 1) / metadata.blockBytes();
        census.disk(blocks);
        long ratio = ratio(metadata);
        for (long block = 0; block < blocks; block += ENTRIES_AT_ONCE) {
            long from = block + block / ratio;
            long last = Math.min(blocks, block + ENTRIES_AT_ONCE) - 1;
            byte[] table =
                    whole.read(tableAt + from * Long.BYTES, (int) ((last + last / ratio - from + 1) * Long.BYTES));
            for (long i = block; i <= last; i++) {
                long entry = u64(table, (int) ((i + i / ratio - from) * Long.BYTES));
                int state = (int) (entry & 7);
                if (state == PRESENT || state == PARTLY_PRESENT) {
                    census.grain(i, entry >>> PLACE_SHIFT > PLACE_MAX ? -1 : entry >>> PLACE_SHIFT << PLACE_SHIFT);
                } else if (state == STATE_UNKNOWN) {
                    census.finding("block " + i + " is in a state that there is not");
                }
            }
        }
        return census.report();
    }

    private void checkApart(FileBytes bytes) throws BlockException {
        for (int i = 0; i < reserved.size(); i++) {
            Region one = reserved.get(i);
            require(bytes, one.offset() >= 0, "a region of it is out of bounds");
            for (Region other : reserved.subList(0, i)) {
                boolean apart = one.offset() >= other.offset() + other.length()
                        || other.offset() >= one.offset() + one.length();
                require(bytes, apart, "its regions lie over each other");
            }
        }
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
