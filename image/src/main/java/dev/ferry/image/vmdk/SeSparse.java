package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.Fields.*;
import static dev.ferry.image.vmdk.VmdkDescriptor.flaw;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.SparseExtent;
import dev.ferry.image.sparse.TableCache;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * The delta of a snapshot as ESX keeps it on VMFS 6, and of disks above 2 TiB. VMware has not published the format; this is
 * what QEMU's documentation and driver know of it. All fields have 64 bits, places are in sectors.
 *
 * <pre>
 *   header   0 magic cafebabe    8 version 2.1    16 capacity    24 grain size: 8    32 table size: 64    40 flags: 0
 *            80 second header   128 directory    136 its size   144 tables          192 grains
 *   second   0 magic cafecafe   24 the journal has to be replayed
 *
 *   grain n ─▶ directory[n / 4096]: 0: nothing; 0x10000000 and the number of a table in 32 bits
 *           ─▶ table[n % 4096]: 0: what the parent has; 1…, 2…: zeroes; 3: its number, the low 12 bits of which come first
 * </pre>
 */
final class SeSparse implements GrainFile {
    private static final long MAGIC = 0xcafebabeL;
    private static final long SECOND_MAGIC = 0xcafecafeL;
    private static final long KNOWN_VERSION = 0x2_0000_0001L;
    private static final int VERSION = 8;
    private static final int CAPACITY = 16;
    private static final int GRAIN = 24;
    private static final int TABLE = 32;
    private static final int FLAGS = 40;
    private static final int SECOND_HEADER = 80;
    private static final int DIRECTORY = 128;
    private static final int DIRECTORY_SECTORS = 136;
    private static final int TABLES = 144;
    private static final int GRAINS = 192;
    private static final int REPLAY = 24;
    private static final int GRAIN_SECTORS = 8;
    private static final int TABLE_SECTORS = 64;
    private static final int TABLE_ENTRIES = 4096;
    private static final long CAPACITY_MAX = 1L << 37;
    private static final long TABLE_THERE = 0x1000_0000L;
    private static final int KIND_SHIFT = 60;

    private final FileBytes file;
    private final long sizeBytes;
    private final long grainsAt;
    private final long[] directory;

    private SeSparse(FileBytes file, long sizeBytes, long grainsAt, long[] directory) {
        this.file = file;
        this.sizeBytes = sizeBytes;
        this.grainsAt = grainsAt;
        this.directory = directory;
    }

    static SeSparse open(FileBytes file) throws BlockException {
        byte[] header = file.read(0, SECTOR_BYTES);
        if (u64(header, 0) != MAGIC) {
            throw flaw(file, ErrorKind.CORRUPT, "its descriptor calls it an SE sparse delta, and it is none");
        }
        if (u64(header, VERSION) != KNOWN_VERSION
                || u64(header, GRAIN) != GRAIN_SECTORS
                || u64(header, TABLE) != TABLE_SECTORS
                || u64(header, FLAGS) != 0) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it is an SE sparse delta of a kind that is not known");
        }
        long capacity = u64(header, CAPACITY);
        require(file, capacity > 0 && capacity <= CAPACITY_MAX, "its capacity is out of bounds");
        byte[] second = file.read(sector(file, header, SECOND_HEADER) * SECTOR_BYTES, SECTOR_BYTES);
        require(file, u64(second, 0) == SECOND_MAGIC, "its second header is damaged");
        if (u64(second, REPLAY) != 0) {
            throw flaw(
                    file,
                    ErrorKind.UNSUPPORTED,
                    "it was not closed properly: ESX has to replay its journal first, as it does when it opens the disk");
        }
        long covered = (long) GRAIN_SECTORS * TABLE_ENTRIES;
        long count = (capacity + covered - 1) / covered;
        require(
                file,
                sector(file, header, DIRECTORY_SECTORS) * SECTOR_BYTES / Long.BYTES >= count,
                "its directory is too short for the disk");
        long[] directory = directory(file, u64(header, DIRECTORY), count, Long.BYTES);
        long tablesAt = sector(file, header, TABLES);
        for (int i = 0; i < count; i++) {
            require(
                    file,
                    directory[i] == 0 || directory[i] >>> 32 == TABLE_THERE,
                    "entry " + i + " of its directory is damaged");
            directory[i] =
                    directory[i] == 0 ? 0 : (tablesAt + (directory[i] & 0xffff_ffffL) * TABLE_SECTORS) * SECTOR_BYTES;
        }
        return new SeSparse(file, capacity * SECTOR_BYTES, sector(file, header, GRAINS) * SECTOR_BYTES, directory);
    }

    /** A number of sectors that a file may have; that it has them is seen where something is read there. */
    private static long sector(FileBytes file, byte[] header, int at) throws BlockException {
        long sector = u64(header, at);
        require(file, sector > 0 && sector <= CAPACITY_MAX, "a place in its header is out of bounds");
        return sector;
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public BlockDevice device(Loop loop, Executor workers, BlockDevice below, @Nullable Below parent) {
        TableCache tables = new TableCache(file.name(), below, TABLE_SECTORS * SECTOR_BYTES);
        GrainMap map = new DirectoryMap(
                directory, TABLE_ENTRIES, tables, (table, index) -> position(u64(table, index * Long.BYTES)));
        return new SparseExtent(file.name(), below, sizeBytes, GRAIN_SECTORS * SECTOR_BYTES, map, parent);
    }

    private long position(long entry) {
        return switch ((int) (entry >>> KIND_SHIFT)) {
            case 0 -> entry == 0 ? GrainMap.NOTHING : GrainMap.DAMAGED;
            case 1, 2 -> GrainMap.ZEROES;
            case 3 -> {
                long grain = (entry & 0x0fff_0000_0000_0000L) >>> 48 | (entry & 0xffff_ffff_ffffL) << 12;
                boolean possible = grain <= CAPACITY_MAX;
                yield possible ? grainsAt + grain * GRAIN_SECTORS * SECTOR_BYTES : GrainMap.DAMAGED;
            }
            default -> GrainMap.DAMAGED;
        };
    }
}
