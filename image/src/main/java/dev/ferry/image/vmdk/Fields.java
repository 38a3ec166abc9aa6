package dev.ferry.image.vmdk;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** The numbers of VMDK files, all little-endian, and what holds for every directory. */
final class Fields {
    static final int SECTOR_BYTES = 512;
    private static final long DIRECTORY_BYTES_MAX = 64 << 20;
    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN)
            .withInvokeExactBehavior();
    private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN)
            .withInvokeExactBehavior();

    private Fields() {}

    static long u64(byte[] bytes, int at) {
        return (long) LONGS.get(bytes, at);
    }

    static long u32(byte[] bytes, int at) {
        return (int) INTS.get(bytes, at) & 0xffff_ffffL;
    }

    /**
     * Reads a directory.
     *
     * @param sector where it begins
     * @param count of its entries, of those that are needed
     * @param entryBytes 4 or 8
     */
    static long[] directory(FileBytes file, long sector, long count, int entryBytes) throws BlockException {
        long bytes = count * entryBytes;
        require(file, count > 0 && count <= DIRECTORY_BYTES_MAX / entryBytes, "its directory is too long");
        require(
                file,
                sector > 0 && bytes <= file.lengthBytes() && sector <= (file.lengthBytes() - bytes) / SECTOR_BYTES,
                "its directory goes past the end of the file");
        byte[] read = file.read(sector * SECTOR_BYTES, (int) bytes);
        long[] directory = new long[(int) count];
        for (int i = 0; i < count; i++) {
            directory[i] = entryBytes == Long.BYTES ? u64(read, i * Long.BYTES) : u32(read, i * Integer.BYTES);
        }
        return directory;
    }

    static void require(FileBytes file, boolean holds, String otherwise) throws BlockException {
        if (!holds) {
            throw VmdkDescriptor.flaw(file, ErrorKind.CORRUPT, otherwise);
        }
    }
}
