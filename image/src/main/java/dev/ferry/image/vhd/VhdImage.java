package dev.ferry.image.vhd;

import static dev.ferry.image.vhd.VhdLayout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.Census;
import dev.ferry.image.sparse.DeltaFile;
import dev.ferry.image.sparse.FlatExtent;
import dev.ferry.image.sparse.GrainCensus;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.GrowingExtent;
import dev.ferry.image.sparse.GrowingMap;
import dev.ferry.image.sparse.KnownMap;
import dev.ferry.image.sparse.SparseExtent;
import dev.ferry.image.sparse.TableCache;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * A VHD file that has been opened and found sound. A footer that is damaged is replaced by its copy, where there is one.
 *
 * <p>The size of the disk is the one in the footer, except where the program that made it is known to go by the geometry,
 * which is smaller by part of a cylinder: Virtual PC and Virtual Server, and QEMU unless it is told otherwise.
 */
public final class VhdImage implements DeltaFile {
    private final FileBytes file;
    private final byte[] footer;
    private final UUID identity;
    private final long sizeBytes;
    private final int @Nullable [] table;
    private final int blockBytes;
    private final long tableAt;
    private final @Nullable VhdParent parent;

    private VhdImage(
            FileBytes file,
            byte[] footer,
            int @Nullable [] table,
            int blockBytes,
            long tableAt,
            @Nullable VhdParent parent) {
        this.file = file;
        this.footer = footer;
        this.tableAt = tableAt;
        this.identity = identity(footer, IDENTITY);
        this.sizeBytes = size(footer);
        this.table = table;
        this.blockBytes = blockBytes;
        this.parent = parent;
    }

    static UUID identity(byte[] bytes, int at) {
        return new UUID(u64(bytes, at), u64(bytes, at + Long.BYTES));
    }

    /** True if a file begins or ends as VHD files do. */
    public static boolean looksLikeOne(FileBytes file) throws BlockException {
        long last = file.lengthBytes() - FOOTER_BYTES;
        return last >= 0
                && (u64(file.read(0, Long.BYTES), 0) == FOOTER_COOKIE
                        || u64(file.read(last, Long.BYTES), 0) == FOOTER_COOKIE);
    }

    /** Reads footer, header and table, and changes nothing. */
    public static VhdImage open(FileBytes file) throws BlockException {
        byte[] footer = footer(file);
        long sizeBytes = size(footer);
        require(file, sizeBytes > 0 && sizeBytes <= SIZE_BYTES_MAX, "its size is out of bounds");
        int type = s32(footer, TYPE);
        return switch (type) {
            case FIXED -> {
                require(file, sizeBytes <= file.lengthBytes() - FOOTER_BYTES, "the file is shorter than its disk");
                yield new VhdImage(file, footer, null, 0, 0, null);
            }
            case DYNAMIC, DIFFERENCING -> dynamic(file, footer, sizeBytes, type == DIFFERENCING);
            default -> throw flaw(file, ErrorKind.CORRUPT, "there is no disk type " + type);
        };
    }

    private static byte[] footer(FileBytes file) throws BlockException {
        long last = file.lengthBytes() - FOOTER_BYTES;
        require(file, last >= 0, "the file is too short");
        byte[] footer = file.read(last, FOOTER_BYTES);
        if (!sound(footer)) {
            footer = file.read(0, FOOTER_BYTES);
        }
        if (u64(footer, 0) != FOOTER_COOKIE) {
            throw flaw(file, ErrorKind.INVALID, "it is not a VHD file");
        }
        require(file, sound(footer), "the checksum of its footer is wrong");
        return footer;
    }

    static boolean sound(byte[] footer) {
        return u64(footer, 0) == FOOTER_COOKIE
                && s32(footer, FOOTER_CHECKSUM) == checksum(footer, FOOTER_BYTES, FOOTER_CHECKSUM);
    }

    private static long size(byte[] footer) {
        long current = u64(footer, CURRENT_SIZE);
        String creator = new String(footer, CREATOR, Integer.BYTES, StandardCharsets.ISO_8859_1);
        int cylinders = s32(footer, GEOMETRY) >>> 16;
        long byGeometry =
                (long) cylinders * (footer[GEOMETRY + 2] & 0xff) * (footer[GEOMETRY + 3] & 0xff) * SECTOR_BYTES;
        boolean goesByGeometry = creator.equals("vpc ") || creator.equals("vs  ") || creator.equals("qemu");
        boolean largest = cylinders == 65535;
        return goesByGeometry && !largest && byGeometry > 0 && byGeometry <= current ? byGeometry : current;
    }

    private static VhdImage dynamic(FileBytes file, byte[] footer, long sizeBytes, boolean differencing)
            throws BlockException {
        long at = u64(footer, DATA_OFFSET);
        require(file, at >= 0 && at <= file.lengthBytes() - HEADER_BYTES, "its header is past the end of the file");
        byte[] header = file.read(at, HEADER_BYTES);
        require(file, u64(header, 0) == HEADER_COOKIE, "its header is damaged");
        require(
                file,
                s32(header, HEADER_CHECKSUM) == checksum(header, HEADER_BYTES, HEADER_CHECKSUM),
                "the checksum of its header is wrong");
        int blockBytes = s32(header, BLOCK_SIZE);
        require(
                file,
                blockBytes >= SECTOR_BYTES && blockBytes <= 1 << 28 && Integer.bitCount(blockBytes) == 1,
                "its block size is out of bounds");
        long entries = s32(header, TABLE_ENTRIES) & 0xffff_ffffL;
        long needed = (sizeBytes + blockBytes - 1) / blockBytes;
        long tableAt = u64(header, TABLE_OFFSET);
        require(file, needed <= BLOCKS_MAX, "its blocks are too small for a disk of that size");
        require(file, entries >= needed, "its table is too short for the disk");
        require(
                file,
                tableAt >= 0 && tableAt <= file.lengthBytes() && needed * 4 <= file.lengthBytes() - tableAt,
                "its table goes past the end of the file");
        int[] table = new int[(int) needed];
        ByteBuffer.wrap(file.read(tableAt, (int) needed * 4)).asIntBuffer().get(table);
        return new VhdImage(file, footer, table, blockBytes, tableAt, differencing ? VhdParent.of(file, header) : null);
    }

    public long sizeBytes() {
        return sizeBytes;
    }

    // ---- for what changes its size

    byte[] footer() {
        return footer.clone();
    }

    int @Nullable [] table() {
        return table;
    }

    int blockBytes() {
        return blockBytes;
    }

    long tableAt() {
        return tableAt;
    }

    /** What tells this disk from all others. */
    public UUID identity() {
        return identity;
    }

    /** Only blocks that were written are in the file. */
    public boolean sparse() {
        return table != null;
    }

    @Override
    public boolean delta() {
        return parent != null;
    }

    @Override
    public List<String> parentNames() {
        return parent == null ? List.of() : parent.names();
    }

    @Override
    public @Nullable String flawOfParent(DeltaFile candidate) {
        UUID has = candidate instanceof VhdImage other ? other.identity : new UUID(0, 0);
        return parent == null || has.equals(parent.identity())
                ? null
                : "has the identity " + has + ", and it was made over " + parent.identity() + ": that is another disk";
    }

    @Override
    public BlockDevice device(BlockDevice below, @Nullable Below over) {
        int[] blocks = table;
        if (blocks == null) {
            return new FlatExtent(file.name(), below, 0, sizeBytes);
        }
        int bitmapBytes = bitmapBytes(blockBytes);
        if (over != null) {
            TableCache bitmaps = new TableCache(file.name(), below, bitmapBytes);
            GrainMap map = new SectorMap(blocks, blockBytes, bitmapBytes, bitmaps);
            return new SparseExtent(file.name(), below, sizeBytes, SECTOR_BYTES, map, over);
        }
        KnownMap map = block -> {
            int sector = blocks[(int) block];
            return sector == -1 ? GrainMap.NOTHING : (sector & 0xffff_ffffL) * SECTOR_BYTES + bitmapBytes;
        };
        return new SparseExtent(file.name(), below, sizeBytes, blockBytes, map, null);
    }

    /**
     * The disk, to be read and written.
     *
     * @param below the file that this was read from, which grows
     * @param over the parent of a differencing disk
     */
    public BlockDevice writable(Loop loop, BlockDevice below, @Nullable Below over) throws BlockException {
        int[] blocks = table;
        if (blocks == null) {
            return FlatExtent.writable(file.name(), below, 0, sizeBytes);
        }
        checkApart(blocks);
        long last = below.lengthBytes() - FOOTER_BYTES;
        boolean footerIsLast = sound(file.read(last, FOOTER_BYTES));
        long end = footerIsLast ? last : below.lengthBytes();
        BlockTable places = new BlockTable(file.name(), below, blocks, blockBytes, tableAt, footer, end, over == null);
        if (over == null) {
            return new GrowingExtent(loop, file.name(), below, sizeBytes, blockBytes, places);
        }
        int bitmapBytes = bitmapBytes(blockBytes);
        TableCache bitmaps = new TableCache(file.name(), below, bitmapBytes);
        SectorMap sectors = new SectorMap(blocks, blockBytes, bitmapBytes, bitmaps);
        GrowingMap map = new GrowingSectors(below, places, sectors, bitmaps);
        return new GrowingExtent(loop, file.name(), below, sizeBytes, SECTOR_BYTES, map, over);
    }

    /** Holds blocks to where they can lie. */
    public Census check() {
        int[] blocks = table;
        if (blocks == null) {
            return Census.NOTHING;
        }
        GrainCensus census = new GrainCensus(file, bitmapBytes(blockBytes) + blockBytes, false);
        census.disk(blocks.length);
        census.reserve(0, FOOTER_BYTES);
        census.reserve(u64(footer, DATA_OFFSET), HEADER_BYTES);
        census.reserve(tableAt, (long) blocks.length * Integer.BYTES);
        for (int i = 0; i < blocks.length; i++) {
            if (blocks[i] != -1) {
                census.grain(i, (blocks[i] & 0xffff_ffffL) * SECTOR_BYTES);
            }
        }
        return census.report();
    }

    /** A guest that writes to a block must change nothing but that block. */
    void checkApart(int[] blocks) throws BlockException {
        long[] starts = Arrays.stream(blocks)
                .filter(sector -> sector != -1)
                .mapToLong(sector -> (sector & 0xffff_ffffL) * SECTOR_BYTES)
                .sorted()
                .toArray();
        long headerAt = u64(footer, DATA_OFFSET);
        long free = headerAt + HEADER_BYTES;
        long bytes = (long) bitmapBytes(blockBytes) + blockBytes;
        long tableEnd = tableAt + (long) blocks.length * Integer.BYTES;
        require(file, tableAt >= free || tableEnd <= headerAt, "its table lies over its header");
        for (long start : starts) {
            boolean apart = start >= free && (start >= tableEnd || start + bytes <= tableAt);
            require(file, apart, "a block of it lies over another one, or over its tables");
            require(
                    file,
                    parent == null || parent.isApart(start, bytes),
                    "a block of it lies over what it says of its parent");
            free = start + bytes;
        }
        require(file, free <= file.lengthBytes(), "a block of it lies past the end of the file");
    }

    static long u64(byte[] bytes, int at) {
        return ByteBuffer.wrap(bytes).getLong(at);
    }

    static int s32(byte[] bytes, int at) {
        return ByteBuffer.wrap(bytes).getInt(at);
    }

    private static void require(FileBytes file, boolean holds, String otherwise) throws BlockException {
        if (!holds) {
            throw flaw(file, ErrorKind.CORRUPT, otherwise);
        }
    }

    static BlockException flaw(FileBytes file, ErrorKind kind, String detail) {
        return BlockError.of(kind, file.name(), "open", detail).toException();
    }
}
