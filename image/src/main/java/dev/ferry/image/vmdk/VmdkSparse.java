package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.VmdkDescriptor.flaw;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.PackedExtent;
import dev.ferry.image.sparse.SparseExtent;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * A hosted sparse extent: a file of grains with a directory of tables that say where each lies. All numbers are
 * little-endian, places are in sectors of 512 bytes.
 *
 * <pre>
 *   header  0 magic "KDMV"    4 version     8 flags     12 capacity    20 grain size
 *           28 descriptor     36 its size   44 entries of a table      48 second directory   56 directory
 *           64 overhead       72 unclean    73 "\n \r\n"               77 compression
 *
 *   grain n ─▶ directory[n / entries] ─▶ table[n % entries] ─▶ sector; 0: nothing; 1: zeroes, where a flag says so
 * </pre>
 *
 * A stream-optimized file has its directory in a copy of the header behind everything else, and its grains are compressed.
 */
public final class VmdkSparse {
    private static final int SECTOR_BYTES = 512;
    private static final int MAGIC = 0x564d444b;
    private static final int FLAG_NEWLINES = 1;
    private static final int FLAG_ZERO_GRAINS = 1 << 2;
    private static final int FLAG_COMPRESSED = 1 << 16;
    private static final long AT_THE_END = -1;
    private static final int FOOTER_FROM_END = 1024;
    private static final long GRAIN_SECTORS_MAX = 4096;
    private static final long TABLE_ENTRIES_MAX = 4096;
    private static final long TABLES_BYTES_MAX = 256 << 20;
    private static final long CAPACITY_MAX = 1L << 40;

    private final FileBytes file;
    private final long sizeBytes;
    private final int grainBytes;
    private final boolean compressed;
    private final long descriptorSector;
    private final long descriptorSectors;
    private final int tableEntries;
    private final int zeroMark;
    private final int[] @Nullable [] tables;

    private VmdkSparse(FileBytes file, ByteBuffer header, int[] @Nullable [] tables) {
        this.file = file;
        this.sizeBytes = header.getLong(12) * SECTOR_BYTES;
        this.grainBytes = (int) header.getLong(20) * SECTOR_BYTES;
        this.descriptorSector = header.getLong(28);
        this.descriptorSectors = header.getLong(36);
        this.tableEntries = header.getInt(44);
        int flags = header.getInt(8);
        this.compressed = (flags & FLAG_COMPRESSED) != 0;
        this.zeroMark = (flags & FLAG_ZERO_GRAINS) != 0 ? 1 : 0;
        this.tables = tables;
    }

    /** True if a file begins as sparse extents do. */
    public static boolean looksLikeOne(FileBytes file) throws BlockException {
        return ByteBuffer.wrap(file.read(0, 4)).order(ByteOrder.LITTLE_ENDIAN).getInt(0) == MAGIC;
    }

    /** Reads header, directory and tables, and changes nothing. */
    public static VmdkSparse open(FileBytes file) throws BlockException {
        ByteBuffer header = header(file, 0);
        if (header.getLong(56) == AT_THE_END) {
            require(file, file.lengthBytes() >= 2 * FOOTER_FROM_END, "it has no footer");
            header = header(file, file.lengthBytes() - FOOTER_FROM_END);
        }
        long capacity = header.getLong(12);
        long grain = header.getLong(20);
        long entries = header.getInt(44) & 0xffff_ffffL;
        require(file, capacity > 0 && capacity <= CAPACITY_MAX, "its capacity is out of bounds");
        require(
                file,
                grain > 0 && grain <= GRAIN_SECTORS_MAX && Long.bitCount(grain) == 1,
                "its grain size is out of bounds");
        require(
                file,
                entries > 0 && entries <= TABLE_ENTRIES_MAX && Long.bitCount(entries) == 1,
                "the length of its tables is out of bounds");
        if ((header.getInt(8) & FLAG_COMPRESSED) != 0 && header.getShort(77) != 1) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it is compressed in a way that is not known");
        }
        return new VmdkSparse(file, header, tables(file, header, capacity, grain, (int) entries));
    }

    private static ByteBuffer header(FileBytes file, long at) throws BlockException {
        ByteBuffer header = ByteBuffer.wrap(file.read(at, SECTOR_BYTES)).order(ByteOrder.LITTLE_ENDIAN);
        if (header.getInt(0) != MAGIC) {
            throw flaw(file, at == 0 ? ErrorKind.INVALID : ErrorKind.CORRUPT, "it is not a sparse VMDK file");
        }
        int version = header.getInt(4);
        if (version < 1 || version > 3) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "VMDK version " + version + "; 1 to 3 are known");
        }
        boolean newlines =
                header.get(73) == '\n' && header.get(74) == ' ' && header.get(75) == '\r' && header.get(76) == '\n';
        require(
                file,
                newlines || (header.getInt(8) & FLAG_NEWLINES) == 0,
                "its line ends have been changed, as by a transfer as text");
        return header;
    }

    private static int[] @Nullable [] tables(FileBytes file, ByteBuffer header, long capacity, long grain, int entries)
            throws BlockException {
        long grains = (capacity + grain - 1) / grain;
        long count = (grains + entries - 1) / entries;
        long directoryAt = header.getLong(56);
        require(
                file,
                directoryAt > 0
                        && count * 4 <= TABLES_BYTES_MAX
                        && directoryAt <= (file.lengthBytes() - count * 4) / SECTOR_BYTES,
                "its directory goes past the end of the file");
        int[] directory = ints(file, directoryAt * SECTOR_BYTES, (int) count);
        int[] @Nullable [] tables = new int[(int) count][];
        // Several entries may name one table, which is then in memory once.
        Map<Integer, int[]> known = new HashMap<>();
        for (int i = 0; i < count; i++) {
            if (directory[i] == 0) {
                continue;
            }
            int[] table = known.get(directory[i]);
            if (table == null) {
                long at = (directory[i] & 0xffff_ffffL) * SECTOR_BYTES;
                require(file, at <= file.lengthBytes() - entries * 4L, "a table is past the end of the file");
                require(
                        file,
                        (known.size() + 1L) * entries * 4 <= TABLES_BYTES_MAX,
                        "its tables take more memory than is allowed");
                table = ints(file, at, entries);
                known.put(directory[i], table);
            }
            tables[i] = table;
        }
        return tables;
    }

    private static int[] ints(FileBytes file, long at, int count) throws BlockException {
        int[] values = new int[count];
        ByteBuffer.wrap(file.read(at, count * 4))
                .order(ByteOrder.LITTLE_ENDIAN)
                .asIntBuffer()
                .get(values);
        return values;
    }

    public long sizeBytes() {
        return sizeBytes;
    }

    public boolean compressed() {
        return compressed;
    }

    /** The descriptor that is within the file, if there is one. */
    public @Nullable VmdkDescriptor descriptor() throws BlockException {
        if (descriptorSector == 0) {
            return null;
        }
        require(
                file,
                descriptorSector > 0
                        && descriptorSectors > 0
                        && descriptorSectors <= file.lengthBytes() / SECTOR_BYTES
                        && descriptorSector <= file.lengthBytes() / SECTOR_BYTES - descriptorSectors,
                "its descriptor is past the end of the file");
        return VmdkDescriptor.read(file, descriptorSector * SECTOR_BYTES, descriptorSectors * SECTOR_BYTES);
    }

    /** The extent, on the file that this was opened from. */
    public BlockDevice device(Loop loop, Executor workers, BlockDevice below) {
        GrainMap map = grain -> {
            int[] table = tables[(int) (grain / tableEntries)];
            int sector = table == null ? 0 : table[(int) (grain % tableEntries)];
            return sector == 0 || sector == zeroMark ? GrainMap.NOTHING : (sector & 0xffff_ffffL) * SECTOR_BYTES;
        };
        return compressed
                ? new PackedExtent(loop, workers, file.name(), below, sizeBytes, grainBytes, map)
                : new SparseExtent(file.name(), below, sizeBytes, grainBytes, map);
    }

    private static void require(FileBytes file, boolean holds, String otherwise) throws BlockException {
        if (!holds) {
            throw flaw(file, ErrorKind.CORRUPT, otherwise);
        }
    }
}
