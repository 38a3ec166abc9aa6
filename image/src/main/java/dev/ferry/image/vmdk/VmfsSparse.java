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
 * The delta of a snapshot as ESX keeps it on VMFS (VMware Virtual Disks 5.0, "ESX Server Sparse Extents"). Places are in
 * sectors.
 *
 * <pre>
 *   header  0 magic "COWD"    4 version 1    8 flags    12 sectors    16 grain size    20 directory    24 its entries
 *
 *   grain n ─▶ directory[n / 4096] ─▶ table[n % 4096] ─▶ sector; 0: what the parent has
 * </pre>
 */
final class VmfsSparse implements GrainFile {
    private static final long MAGIC = 0x44574f43;
    private static final int VERSION = 4;
    private static final int CAPACITY = 12;
    private static final int GRAIN = 16;
    private static final int DIRECTORY = 20;
    private static final int DIRECTORY_ENTRIES = 24;
    private static final int TABLE_ENTRIES = 4096;
    private static final long GRAIN_SECTORS_MAX = 4096;

    private final FileBytes file;
    private final long sizeBytes;
    private final int grainBytes;
    private final long[] directory;

    private VmfsSparse(FileBytes file, long sizeBytes, int grainBytes, long[] directory) {
        this.file = file;
        this.sizeBytes = sizeBytes;
        this.grainBytes = grainBytes;
        this.directory = directory;
    }

    static VmfsSparse open(FileBytes file) throws BlockException {
        byte[] header = file.read(0, SECTOR_BYTES);
        if (u32(header, 0) != MAGIC) {
            throw flaw(file, ErrorKind.CORRUPT, "its descriptor calls it a delta of VMFS, and it is none");
        }
        if (u32(header, VERSION) != 1) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it has version " + u32(header, VERSION) + "; 1 is known");
        }
        long capacity = u32(header, CAPACITY);
        long grain = u32(header, GRAIN);
        require(file, capacity > 0, "it has no sectors");
        require(file, grain > 0 && grain <= GRAIN_SECTORS_MAX, "its grain size is out of bounds");
        long tables = (capacity + grain * TABLE_ENTRIES - 1) / (grain * TABLE_ENTRIES);
        require(file, tables <= u32(header, DIRECTORY_ENTRIES), "its directory is too short for the disk");
        long[] directory = directory(file, u32(header, DIRECTORY), tables, Integer.BYTES);
        for (int i = 0; i < directory.length; i++) {
            directory[i] *= SECTOR_BYTES;
        }
        return new VmfsSparse(file, capacity * SECTOR_BYTES, (int) grain * SECTOR_BYTES, directory);
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public BlockDevice device(Loop loop, Executor workers, BlockDevice below, @Nullable Below parent) {
        TableCache tables = new TableCache(file.name(), below, TABLE_ENTRIES * Integer.BYTES);
        GrainMap map = new DirectoryMap(directory, TABLE_ENTRIES, tables, (table, index) -> {
            long sector = u32(table, index * Integer.BYTES);
            return sector == 0 ? GrainMap.NOTHING : sector * SECTOR_BYTES;
        });
        return new SparseExtent(file.name(), below, sizeBytes, grainBytes, map, parent);
    }
}
