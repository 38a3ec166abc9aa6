package dev.ferry.image.vhd;

/**
 * Where everything lies in a VHD file. All numbers are big-endian.
 *
 * <pre>
 *   fixed    data | footer
 *   dynamic  copy of the footer | header | block allocation table | (sector bitmap | block)* | footer
 *
 *   footer   0 cookie "conectix"   16 data offset   28 creator   40 original size   48 current size
 *            56 geometry: cylinders u16, heads u8, sectors u8     60 type   64 checksum           (512 bytes)
 *   header   0 cookie "cxsparse"   16 table offset  28 entries   32 block size   36 checksum     (1024 bytes)
 *   table    u32: sector at which the block's bitmap begins; all ones: the block is not there, and reads as zeroes
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
    static final int TABLE_OFFSET = 16;
    static final int TABLE_ENTRIES = 28;
    static final int BLOCK_SIZE = 32;
    static final int HEADER_CHECKSUM = 36;
    static final int FIXED = 2;
    static final int DYNAMIC = 3;
    static final int DIFFERENCING = 4;

    /** The largest disk that the format has: 2040 GiB. */
    static final long SIZE_BYTES_MAX = 2040L << 30;

    private VhdLayout() {}

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
