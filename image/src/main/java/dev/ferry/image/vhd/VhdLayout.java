package dev.ferry.image.vhd;

import java.nio.ByteBuffer;

/**
 * Where everything lies in a VHD file. All numbers are big-endian.
 *
 * <pre>
 *   fixed    data | footer
 *   dynamic  copy of the footer | header | block allocation table | (sector bitmap | block)* | footer
 *   differencing: as dynamic, over a parent
 *
 *   footer   0 cookie "conectix"   16 data offset   28 creator   40 original size   48 current size
 *            56 geometry: cylinders u16, heads u8, sectors u8     60 type   64 checksum   68 identity (512 bytes)
 *   header   0 cookie "cxsparse"   16 table offset  28 entries   32 block size   36 checksum
 *            40 the parent's identity   56 when it was last changed   64 its name, 512 bytes of UTF-16
 *            576 eight locators                                                                     (1024 bytes)
 *   locator  0 platform u32   4 space u32   8 length u32   16 offset u64 of a path                  (24 bytes)
 *   table    u32: sector at which the block's bitmap begins; all ones: the block is not there
 *   bitmap   a bit for each sector of the block, the highest first: the sector is here, and not the parent's. Of dynamic
 *            disks it says nothing that would be needed: what is not there reads as zeroes
 * </pre>
 *
 * A checksum is the complement of the sum of all bytes but its own.
 */
final class VhdLayout {
    static final int FOOTER_BYTES = 512;
    static final int HEADER_BYTES = 1024;
    static final int SECTOR_BYTES = 512;
    static final long FOOTER_COOKIE = 0x636f6e6563746978L;
    static final long HEADER_COOKIE = 0x6378737061727365L;
    static final int DATA_OFFSET = 16;
    static final int CREATOR = 28;
    static final int CURRENT_SIZE = 48;
    static final int GEOMETRY = 56;
    static final int TYPE = 60;
    static final int FOOTER_CHECKSUM = 64;
    static final int IDENTITY = 68;
    static final int IDENTITY_BYTES = 16;
    static final int TABLE_OFFSET = 16;
    static final int TABLE_ENTRIES = 28;
    static final int BLOCK_SIZE = 32;
    static final int HEADER_CHECKSUM = 36;
    static final int PARENT_IDENTITY = 40;
    static final int PARENT_TIME = 56;
    static final int PARENT_NAME = 64;
    static final int PARENT_NAME_BYTES = 512;
    static final int LOCATORS = 576;
    static final int LOCATOR_COUNT = 8;
    static final int LOCATOR_BYTES = 24;
    static final int LOCATOR_SPACE = 4;
    static final int LOCATOR_LENGTH = 8;
    static final int LOCATOR_OFFSET = 16;

    /** A path from where the file is, in UTF-16, little-endian. */
    static final int PLATFORM_W2RU = 0x57327275;

    /** A path from the root of a drive, in UTF-16, little-endian. */
    static final int PLATFORM_W2KU = 0x57326b75;

    /** A URL, in UTF-8. */
    static final int PLATFORM_MACX = 0x4d616358;

    static final int PATH_BYTES_MAX = 64 << 10;

    /** A table of that many blocks is longer than that of the largest disk in blocks of 256 KiB. */
    static final long BLOCKS_MAX = 8 << 20;

    static final int FIXED = 2;
    static final int DYNAMIC = 3;
    static final int DIFFERENCING = 4;

    /** The largest disk that the format has: 2040 GiB. */
    static final long SIZE_BYTES_MAX = 2040L << 30;

    private VhdLayout() {}

    /** Of a block's bitmap, in whole sectors. */
    static int bitmapBytes(int blockBytes) {
        return (blockBytes / SECTOR_BYTES + 8 * SECTOR_BYTES - 1) / (8 * SECTOR_BYTES) * SECTOR_BYTES;
    }

    static byte[] bytes(int number) {
        return ByteBuffer.allocate(Integer.BYTES).putInt(number).array();
    }

    static int checksum(byte[] bytes, int length, int ownAt) {
        int sum = 0;
        for (int i = 0; i < length; i++) {
            if (i < ownAt || i >= ownAt + Integer.BYTES) {
                sum += bytes[i] & 0xff;
            }
        }
        return ~sum;
    }
}
