package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.Fields.*;
import static dev.ferry.image.vmdk.VmdkDescriptor.flaw;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.Census;
import dev.ferry.image.sparse.FirstChange;
import dev.ferry.image.sparse.GrainCensus;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.GrowingExtent;
import dev.ferry.image.sparse.PackedExtent;
import dev.ferry.image.sparse.SparseExtent;
import dev.ferry.image.sparse.TableCache;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
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
public final class VmdkSparse implements GrainFile {
    private static final long MAGIC = 0x564d444b;
    private static final int VERSION = 4;
    private static final int FLAGS = 8;
    private static final int CAPACITY = 12;
    private static final int GRAIN = 20;
    private static final int DESCRIPTOR = 28;
    private static final int DESCRIPTOR_SECTORS = 36;
    private static final int TABLE_ENTRIES = 44;
    private static final int SECOND_DIRECTORY = 48;
    private static final int DIRECTORY = 56;
    private static final int UNCLEAN = 72;
    private static final int COMPRESSION = 77;
    private static final int FLAG_NEWLINES = 1;
    private static final int FLAG_SECOND_DIRECTORY = 1 << 1;
    private static final int FLAG_ZERO_GRAINS = 1 << 2;
    private static final int FLAG_COMPRESSED = 1 << 16;
    private static final long AT_THE_END = -1;
    private static final int FOOTER_FROM_END = 1024;
    private static final long GRAIN_SECTORS_MAX = 4096;
    private static final long TABLE_ENTRIES_MAX = 4096;
    private static final long CAPACITY_MAX = 1L << 40;

    private final FileBytes file;
    private final long sizeBytes;
    private final int grainBytes;
    private final boolean compressed;
    private final long descriptorSector;
    private final long descriptorSectors;
    private final int tableEntries;
    private final boolean zeroGrains;
    private final long directorySector;
    private final long secondSector;
    private final long[] directory;

    private VmdkSparse(FileBytes file, byte[] header, long[] directory) {
        this.file = file;
        this.sizeBytes = u64(header, CAPACITY) * SECTOR_BYTES;
        this.grainBytes = (int) u64(header, GRAIN) * SECTOR_BYTES;
        this.descriptorSector = u64(header, DESCRIPTOR);
        this.descriptorSectors = u64(header, DESCRIPTOR_SECTORS);
        this.tableEntries = (int) u32(header, TABLE_ENTRIES);
        this.compressed = (u32(header, FLAGS) & FLAG_COMPRESSED) != 0;
        this.zeroGrains = (u32(header, FLAGS) & FLAG_ZERO_GRAINS) != 0;
        this.directorySector = u64(header, DIRECTORY);
        this.secondSector = (u32(header, FLAGS) & FLAG_SECOND_DIRECTORY) == 0 ? 0 : u64(header, SECOND_DIRECTORY);
        this.directory = directory;
    }

    /** True if a file begins as sparse extents do. */
    public static boolean looksLikeOne(FileBytes file) throws BlockException {
        return u32(file.read(0, Integer.BYTES), 0) == MAGIC;
    }

    /** Reads header and directory, and changes nothing. */
    public static VmdkSparse open(FileBytes file) throws BlockException {
        byte[] header = header(file, 0);
        if (u64(header, DIRECTORY) == AT_THE_END) {
            require(file, file.lengthBytes() >= 2 * FOOTER_FROM_END, "it has no footer");
            header = header(file, file.lengthBytes() - FOOTER_FROM_END);
        }
        long capacity = u64(header, CAPACITY);
        long grain = u64(header, GRAIN);
        long entries = u32(header, TABLE_ENTRIES);
        require(file, capacity > 0 && capacity <= CAPACITY_MAX, "its capacity is out of bounds");
        require(
                file,
                grain > 0 && grain <= GRAIN_SECTORS_MAX && Long.bitCount(grain) == 1,
                "its grain size is out of bounds");
        require(
                file,
                entries > 0 && entries <= TABLE_ENTRIES_MAX && Long.bitCount(entries) == 1,
                "the length of its tables is out of bounds");
        if ((u32(header, FLAGS) & FLAG_COMPRESSED) != 0 && (header[COMPRESSION] != 1 || header[COMPRESSION + 1] != 0)) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it is compressed in a way that is not known");
        }
        long grains = (capacity + grain - 1) / grain;
        long tables = (grains + entries - 1) / entries;
        long[] directory = directory(file, u64(header, DIRECTORY), tables, Integer.BYTES);
        for (int i = 0; i < directory.length; i++) {
            directory[i] *= SECTOR_BYTES;
        }
        return new VmdkSparse(file, header, directory);
    }

    private static byte[] header(FileBytes file, long at) throws BlockException {
        byte[] header = file.read(at, SECTOR_BYTES);
        if (u32(header, 0) != MAGIC) {
            throw flaw(file, at == 0 ? ErrorKind.INVALID : ErrorKind.CORRUPT, "it is not a sparse VMDK file");
        }
        long version = u32(header, VERSION);
        if (version < 1 || version > 3) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "VMDK version " + version + "; 1 to 3 are known");
        }
        boolean newlines = header[73] == '\n' && header[74] == ' ' && header[75] == '\r' && header[76] == '\n';
        require(
                file,
                newlines || (u32(header, FLAGS) & FLAG_NEWLINES) == 0,
                "its line ends have been changed, as by a transfer as text");
        return header;
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
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

    /** Where the descriptor that is within the file begins, in bytes. */
    long descriptorAt() {
        return descriptorSector * SECTOR_BYTES;
    }

    long descriptorBytes() {
        return descriptorSectors * SECTOR_BYTES;
    }

    /**
     * The extent, to be read and written.
     *
     * @param below the file that this was read from, which grows
     * @param parent what it is a delta of
     */
    BlockDevice writable(Loop loop, BlockDevice below, @Nullable Below parent) throws BlockException {
        if (compressed) {
            throw flaw(
                    file,
                    ErrorKind.UNSUPPORTED,
                    "its grains are compressed, which are read and not written; convert or import it");
        }
        GrainTablesAt where = tables();
        GrainTables tables = new GrainTables(file.name(), below, where, grainBytes, zeroGrains);
        return new GrowingExtent(loop, file.name(), below, sizeBytes, grainBytes, tables, parent);
    }

    /** Where the tables lie, which are all there and apart from all else. */
    private GrainTablesAt tables() throws BlockException {
        long[] second = {};
        if (secondSector > 0) {
            second = directory(file, secondSector, directory.length, Integer.BYTES);
            for (int i = 0; i < second.length; i++) {
                second[i] *= SECTOR_BYTES;
            }
        }
        return GrainTablesAt.of(
                file,
                directory,
                directorySector * SECTOR_BYTES,
                second,
                secondSector * SECTOR_BYTES,
                tableEntries,
                descriptorSector * SECTOR_BYTES,
                descriptorSectors * SECTOR_BYTES);
    }

    // ---- for what changes its size

    /** The same, of a file that is not compressed. */
    GrainTablesAt tablesToChange() throws BlockException {
        if (compressed) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "its grains are compressed; convert it");
        }
        return tables();
    }

    int grainBytes() {
        return grainBytes;
    }

    boolean hasSecond() {
        return secondSector > 0;
    }

    /** The header, with another size and directories. */
    byte[] header(long newBytes, long directoryAt, long secondAt) throws BlockException {
        byte[] header = file.read(0, SECTOR_BYTES);
        ByteBuffer fields = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN);
        fields.putLong(CAPACITY, newBytes / SECTOR_BYTES);
        fields.putLong(DIRECTORY, directoryAt / SECTOR_BYTES);
        fields.putLong(SECOND_DIRECTORY, secondAt / SECTOR_BYTES);
        return header;
    }

    long directoryAt() {
        return directorySector * SECTOR_BYTES;
    }

    long secondAt() {
        return secondSector * SECTOR_BYTES;
    }

    /** Holds the tables to each other, and grains to where they can lie. */
    Census check() throws BlockException {
        GrainCensus census = new GrainCensus(file, grainBytes, compressed);
        int tableBytes = tableEntries * Integer.BYTES;
        long[] second = secondSector == 0 ? null : directory(file, secondSector, directory.length, Integer.BYTES);
        census.disk((sizeBytes + grainBytes - 1) / grainBytes);
        census.reserve(0, SECTOR_BYTES);
        census.reserve(descriptorAt(), descriptorBytes());
        for (long table : directory) {
            census.reserve(table, table == 0 ? 0 : tableBytes);
        }
        for (int i = 0; i < directory.length; i++) {
            if (directory[i] == 0) {
                continue;
            }
            if (directory[i] > file.lengthBytes() - tableBytes) {
                census.finding("table " + i + " is past the end of the file");
                continue;
            }
            byte[] table = file.read(directory[i], tableBytes);
            byte[] copy = second == null ? table : file.read(second[i] * SECTOR_BYTES, tableBytes);
            for (int j = 0; j < tableEntries; j++) {
                long sector = u32(table, j * Integer.BYTES);
                long other = u32(copy, j * Integer.BYTES);
                if (sector != other) {
                    census.differ((long) i * tableEntries + j, sector * SECTOR_BYTES, other * SECTOR_BYTES);
                }
                if (sector > 1 || (sector == 1 && !zeroGrains)) {
                    census.grain((long) i * tableEntries + j, sector * SECTOR_BYTES);
                }
            }
        }
        return census.report();
    }

    /** That the extent is open, and that it was closed properly. */
    static FirstChange.Mark openMark(BlockDevice file) {
        return FirstChange.Mark.of(file, UNCLEAN, new byte[] {1}, new byte[] {0});
    }

    @Override
    public BlockDevice device(Loop loop, Executor workers, BlockDevice below, @Nullable Below parent) {
        TableCache tables = new TableCache(file.name(), below, tableEntries * Integer.BYTES);
        GrainMap map = new DirectoryMap(directory, tableEntries, tables, (table, index) -> {
            long sector = u32(table, index * Integer.BYTES);
            if (sector == 0) {
                return GrainMap.NOTHING;
            }
            return sector == 1 && zeroGrains ? GrainMap.ZEROES : sector * SECTOR_BYTES;
        });
        return compressed
                ? new PackedExtent(loop, workers, file.name(), below, sizeBytes, grainBytes, map, parent)
                : new SparseExtent(file.name(), below, sizeBytes, grainBytes, map, parent);
    }
}
