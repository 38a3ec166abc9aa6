package dev.ferry.image.vhdx;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.UUID;
import java.util.zip.CRC32C;

/**
 * Where everything lies in a VHDX file. All numbers are little-endian; regions begin at whole MiB.
 *
 * <pre>
 *   file      = identifier:64K header:64K header:64K regions:64K regions:64K … log, block table, metadata, blocks
 *   header      0 "head"   4 CRC-32C   8 sequence u64   16 identity of the file   32 of the data   48 identity of the log; 0: empty
 *               64 version of the log u16   66 version u16   68 length of the log u32   72 its place      (4096 bytes)
 *   regions     0 "regi"   4 CRC-32C   8 count u32   16 (identity, place u64, length u32, required u32)*
 *   metadata    0 "metadata"   10 count u16   32 (identity, place u32 in the region, length u32, flags u32, 0)*
 *   locator     0 kind   18 count u16   20 (key u32, value u32: places in the locator; lengths u16, u16)*   of UTF-16
 *
 *   block n ─▶ table[n + n / ratio]: state in bits 0 to 2, place in MiB in bits 20 to 63
 *   After each ratio blocks follows the entry of their bitmap: a bit for each sector, the lowest first; 1: the sector is here,
 *   and not the parent's. The ratio is 2^23 sectors by the block size.
 * </pre>
 */
final class VhdxLayout {
    static final long FILE_MAGIC = 0x656c6966_78646876L;
    static final int[] HEADERS = {64 << 10, 128 << 10};
    static final int HEADER_BYTES = 4096;
    static final long HEADER_MAGIC = 0x64616568;
    static final int CHECKSUM = 4;
    static final int SEQUENCE = 8;
    static final int FILE_IDENTITY = 16;
    static final int DATA_IDENTITY = 32;
    static final int LOG_IDENTITY = 48;
    static final int LOG_VERSION = 64;
    static final int VERSION = 66;
    static final int LOG_LENGTH = 68;
    static final int LOG_PLACE = 72;
    static final int[] REGION_TABLES = {192 << 10, 256 << 10};
    static final int REGION_TABLE_BYTES = 64 << 10;
    static final long REGION_MAGIC = 0x69676572;
    static final int REGION_COUNT = 8;
    static final int REGION_ENTRIES = 16;
    static final int ENTRY_BYTES = 32;
    static final int ENTRIES_MAX = 2047;
    static final long METADATA_MAGIC = 0x61746164_6174656dL;
    static final int METADATA_COUNT = 10;
    static final int METADATA_REQUIRED = 4;
    static final long METADATA_BYTES_MAX = 64 << 20;
    static final int ITEM_BYTES_MAX = 1 << 20;
    static final int LOCATOR_COUNT = 18;
    static final int LOCATOR_ENTRIES = 20;
    static final int LOCATOR_ENTRY_BYTES = 12;

    static final UUID TABLE_REGION = UUID.fromString("2dc27766-f623-4200-9d64-115e9bfd4a08");
    static final UUID METADATA_REGION = UUID.fromString("8b7ca206-4790-4b9a-b8fe-575f050f886e");
    static final UUID FILE_PARAMETERS = UUID.fromString("caa16737-fa36-4d43-b3b6-33f0aa44e76b");
    static final UUID DISK_SIZE = UUID.fromString("2fa54224-cd1b-4876-b211-5dbed83bf4b8");
    static final UUID DISK_IDENTITY = UUID.fromString("beca12ab-b2e6-4523-93ef-c309e000c746");
    static final UUID LOGICAL_SECTOR = UUID.fromString("8141bf1d-a96f-4709-ba47-f233a8faab5f");
    static final UUID PHYSICAL_SECTOR = UUID.fromString("cda348c7-445d-4471-9cc9-e9885251c556");
    static final UUID PARENT_LOCATOR = UUID.fromString("a8d35f2d-b30b-454d-abf7-d3d84834ab0c");
    static final UUID LOCATOR_OF_VHDX = UUID.fromString("b04aefb7-d19e-4a81-b789-25b8e9445913");
    static final int LEAVES_ALLOCATED = 1;
    static final int HAS_PARENT = 2;

    static final long SIZE_BYTES_MAX = 64L << 40;
    static final int BLOCK_BYTES_MIN = 1 << 20;
    static final int BLOCK_BYTES_MAX = 256 << 20;
    static final long CHUNK_SECTORS = 1 << 23;

    // States of blocks, and of bitmaps.
    static final int NOT_PRESENT = 0;
    static final int UNDEFINED = 1;
    static final int ZERO = 2;
    static final int UNMAPPED = 3;

    /** As the first edition of the specification had it. */
    static final int UNMAPPED_ONCE = 5;

    static final int PRESENT = 6;
    static final int PARTLY_PRESENT = 7;
    static final int PLACE_SHIFT = 20;
    static final long PLACE_MAX = 1L << 40;

    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN)
            .withInvokeExactBehavior();
    private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN)
            .withInvokeExactBehavior();

    private VhdxLayout() {}

    static long u64(byte[] bytes, int at) {
        return (long) LONGS.get(bytes, at);
    }

    static long u32(byte[] bytes, int at) {
        return (int) INTS.get(bytes, at) & 0xffff_ffffL;
    }

    static int u16(byte[] bytes, int at) {
        return (bytes[at] & 0xff) | (bytes[at + 1] & 0xff) << 8;
    }

    /** An identity; its first three fields are little-endian numbers. */
    static UUID identity(byte[] bytes, int at) {
        long high = u32(bytes, at) << 32 | (long) u16(bytes, at + 4) << 16 | u16(bytes, at + 6);
        return new UUID(high, Long.reverseBytes(u64(bytes, at + 8)));
    }

    static void putIdentity(byte[] bytes, int at, UUID identity) {
        long high = identity.getMostSignificantBits();
        INTS.set(bytes, at, (int) (high >>> 32));
        INTS.set(bytes, at + 4, (int) (high >>> 16 & 0xffff) | (int) high << 16);
        LONGS.set(bytes, at + 8, Long.reverseBytes(identity.getLeastSignificantBits()));
    }

    /** The checksum is right that stands in the bytes that it is of. */
    static boolean sound(byte[] bytes) {
        return sum(bytes) == u32(bytes, CHECKSUM);
    }

    /** Puts the checksum into the bytes that it is of. */
    static void putSum(byte[] bytes) {
        INTS.set(bytes, CHECKSUM, (int) sum(bytes));
    }

    private static long sum(byte[] bytes) {
        CRC32C sum = new CRC32C();
        sum.update(bytes, 0, CHECKSUM);
        sum.update(new byte[Integer.BYTES]);
        sum.update(bytes, CHECKSUM + Integer.BYTES, bytes.length - CHECKSUM - Integer.BYTES);
        return sum.getValue();
    }
}
