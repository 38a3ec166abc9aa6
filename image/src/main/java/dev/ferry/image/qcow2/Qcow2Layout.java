package dev.ferry.image.qcow2;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * Where everything lies in a qcow2 file. All numbers are big-endian. The specification is QEMU's docs/interop/qcow2.
 *
 * <pre>
 *   file       = cluster*                            a cluster has 1 &lt;&lt; cluster_bits bytes; the first holds the header
 *   header     = fields extension* [backing name]
 *   extension  = type:u32 length:u32 data padding-to-8
 *
 *   guest offset ─▶ L1[offset / (cluster * entries)] ─▶ L2[offset / cluster % entries] ─▶ host cluster
 *   host offset  ─▶ refcount table[..] ─▶ refcount block[..] = how many refer to that cluster
 *
 *   L1 entry   63      55            9       0        L2 entry  63 62       55            9        0
 *             ┌──┬────┬─────────────┬───────┐                  ┌──┬──┬────┬─────────────┬───────┬─┐
 *             │C │ 0  │ L2 offset   │   0   │                  │C │Z?│ 0  │ host offset │   0   │0│
 *             └──┴────┴─────────────┴───────┘                  └──┴──┴────┴─────────────┴───────┴─┘
 *   C: refcount is exactly one, write in place. Bit 62: compressed. Bit 0: reads as zeroes (version 3).
 *   Where data is in a file of its own, it lies there where the guest has it, C says that there is some, and nothing counts it.
 *
 *   An extended L2 entry is that, without bit 0, and a second word for 32 subclusters of the cluster:
 *      bits 0 to 31: allocated   bits 32 to 63: reads as zeroes   of a compressed cluster: 0
 * </pre>
 */
final class Qcow2Layout {
    static final int MAGIC = 0x514649fb;

    // Header fields: offsets in bytes.
    static final int VERSION = 4;
    static final int BACKING_OFFSET = 8;
    static final int BACKING_LENGTH = 16;
    static final int CLUSTER_BITS = 20;
    static final int SIZE = 24;
    static final int CRYPT_METHOD = 32;
    static final int L1_ENTRIES = 36;
    static final int L1_OFFSET = 40;
    static final int REFCOUNT_TABLE_OFFSET = 48;
    static final int REFCOUNT_TABLE_CLUSTERS = 56;
    static final int SNAPSHOT_COUNT = 60;
    static final int SNAPSHOT_OFFSET = 64;
    static final int V2_BYTES = 72;
    static final int INCOMPATIBLE = 72;
    static final int COMPATIBLE = 80;
    static final int AUTOCLEAR = 88;
    static final int REFCOUNT_ORDER = 96;
    static final int HEADER_LENGTH = 100;
    static final int V3_BYTES_MIN = 104;
    static final int COMPRESSION_TYPE = 104;

    static final long INCOMPATIBLE_DIRTY = 1;
    static final long INCOMPATIBLE_CORRUPT = 1 << 1;
    static final long INCOMPATIBLE_DATA_FILE = 1 << 2;
    static final long INCOMPATIBLE_COMPRESSION = 1 << 3;
    static final long INCOMPATIBLE_EXTENDED_L2 = 1 << 4;
    static final long COMPATIBLE_LAZY_REFCOUNTS = 1;
    static final long AUTOCLEAR_BITMAPS = 1;
    static final long AUTOCLEAR_RAW_DATA = 1 << 1;

    static final int EXTENSION_END = 0;
    static final int EXTENSION_BACKING_FORMAT = 0xe2792aca;
    static final int EXTENSION_FEATURE_NAMES = 0x6803f857;
    static final int EXTENSION_BITMAPS = 0x23852875;
    static final int EXTENSION_ENCRYPTION = 0x0537be77;
    static final int EXTENSION_DATA_FILE = 0x44415441;

    // Bounds, as QEMU has them: what is beyond was made by nobody, or to do harm.
    static final int CLUSTER_BITS_MIN = 9;
    static final int CLUSTER_BITS_MAX = 21;
    static final int EXTENDED_CLUSTER_BITS_MIN = 14;
    static final int REFCOUNT_ORDER_MAX = 6;
    static final int BACKING_NAME_BYTES_MAX = 1023;
    static final long L1_BYTES_MAX = 32 << 20;
    static final long REFCOUNT_TABLE_BYTES_MAX = 8 << 20;
    static final int SNAPSHOTS_MAX = 65536;
    static final long SNAPSHOT_TABLE_BYTES_MAX = 64 << 20;
    static final int BITMAPS_MAX = 65535;
    static final long BITMAP_DIRECTORY_BYTES_MAX = 64 << 20;
    static final int SECTOR_BYTES = 512;

    // Entries of L1 and L2.
    static final long COPIED = 1L << 63;
    static final long COMPRESSED = 1L << 62;
    static final long ZERO = 1;
    static final long OFFSET_MASK = 0x00ff_ffff_ffff_fe00L;

    /** What an L2 entry says of its cluster. */
    static final int UNALLOCATED = 0;

    /** It reads as zeroes, and has no host cluster. */
    static final int ZERO_PLAIN = 1;

    /** It reads as zeroes, and has a host cluster. */
    static final int ZERO_ALLOCATED = 2;

    static final int NORMAL = 3;
    static final int PACKED = 4;
    static final int INVALID = 5;

    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN)
            .withInvokeExactBehavior();
    private static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.BIG_ENDIAN)
            .withInvokeExactBehavior();

    private Qcow2Layout() {}

    static long u64(byte[] bytes, int at) {
        return (long) LONGS.get(bytes, at);
    }

    static void u64(byte[] bytes, int at, long value) {
        LONGS.set(bytes, at, value);
    }

    static int s32(byte[] bytes, int at) {
        return (int) INTS.get(bytes, at);
    }

    static long u32(byte[] bytes, int at) {
        return s32(bytes, at) & 0xffff_ffffL;
    }

    static void s32(byte[] bytes, int at, int value) {
        INTS.set(bytes, at, value);
    }

    static int u16(byte[] bytes, int at) {
        return (bytes[at] & 0xff) << 8 | (bytes[at + 1] & 0xff);
    }

    static long hostOffset(long entry) {
        return entry & OFFSET_MASK;
    }

    /**
     * @param flagged version 3, where bit 0 has a meaning
     * @param external data is in a file of its own, where offset 0 is a place like others
     */
    static int kind(long entry, long clusterMask, boolean flagged, boolean external) {
        if ((entry & COMPRESSED) != 0) {
            return ((entry & COPIED) != 0 || external) ? INVALID : PACKED;
        }
        long host = entry & OFFSET_MASK;
        long rest = entry & ~(OFFSET_MASK | COPIED | (flagged ? ZERO : 0));
        if (rest != 0 || (host & clusterMask) != 0) {
            return INVALID;
        }
        boolean placed = host != 0 || (external && (entry & COPIED) != 0);
        if ((entry & ZERO) != 0) {
            return placed ? ZERO_ALLOCATED : ZERO_PLAIN;
        }
        return placed ? NORMAL : UNALLOCATED;
    }

    /** Bits of the offset in the entry of a compressed cluster. */
    private static int packedOffsetBits(int clusterBits) {
        return 62 - (clusterBits - 8);
    }

    static long packedOffset(long entry, int clusterBits) {
        return entry & ((1L << packedOffsetBits(clusterBits)) - 1) & 0x00ff_ffff_ffff_ffffL;
    }

    /** Bytes of compressed data at most: whole sectors, from the offset to the end of the last. */
    static int packedBytesMax(long entry, int clusterBits) {
        int bits = packedOffsetBits(clusterBits);
        long sectors = ((entry & ~(COMPRESSED | COPIED)) >>> bits) + 1;
        return (int) (sectors * SECTOR_BYTES - (packedOffset(entry, clusterBits) & (SECTOR_BYTES - 1)));
    }

    static long packedEntry(long offset, int bytes, int clusterBits) {
        long sectors = (offset + bytes - 1) / SECTOR_BYTES - offset / SECTOR_BYTES;
        return COMPRESSED | sectors << packedOffsetBits(clusterBits) | offset;
    }
}
