package dev.ferry.image.vhd;

import static dev.ferry.image.vhd.VhdLayout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Arrays;
import java.util.UUID;

/**
 * Makes VHD files, all zeroes. Blocking code of the control plane.
 *
 * <p>The size of the disk is any number of sectors. Programs disagree on whether the footer's size or its geometry counts,
 * which is smaller by part of a cylinder; they go by who made the file. So the creator in the footer is the one whose files
 * all programs take by their size, Windows.
 */
public final class VhdCreator {
    private static final String CREATOR_NAME = "win ";
    private static final String CREATOR_HOST = "Wi2k";
    private static final int BLOCK_BYTES = 2 << 20;
    private static final int TABLE_AT = FOOTER_BYTES + HEADER_BYTES;
    private static final Instant EPOCH = Instant.parse("2000-01-01T00:00:00Z");
    private static final int FEATURES = 2;
    private static final int VERSION = 0x10000;
    private static final int CREATOR_VERSION = 0x60001;
    private static final int CYLINDERS_MAX = 65535;

    private VhdCreator() {}

    /**
     * Makes a disk; what the file held is lost.
     *
     * @param sizeBytes of the disk, a multiple of 512
     * @param made when
     * @param identity any that no other disk has
     */
    public static void create(FileBytes file, long sizeBytes, VhdKind kind, Instant made, UUID identity)
            throws BlockException {
        if (sizeBytes <= 0 || sizeBytes > SIZE_BYTES_MAX || sizeBytes % SECTOR_BYTES != 0) {
            throw BlockError.of(
                            ErrorKind.INVALID,
                            file.name(),
                            "create",
                            "a vhd disk has a multiple of 512 bytes, and at most 2040 GiB")
                    .toException();
        }
        byte[] footer = footer(sizeBytes, kind, made, identity);
        file.resize(0);
        if (kind == VhdKind.FIXED) {
            file.resize(sizeBytes + FOOTER_BYTES);
            file.flush();
            file.write(sizeBytes, footer);
            file.flush();
            return;
        }
        int entries = (int) ((sizeBytes + BLOCK_BYTES - 1) / BLOCK_BYTES);
        byte[] table = new byte[(entries * Integer.BYTES + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES];
        Arrays.fill(table, (byte) -1);
        file.write(FOOTER_BYTES, header(entries));
        file.write(TABLE_AT, table);
        file.write((long) TABLE_AT + table.length, footer);
        file.flush();
        file.write(0, footer);
        file.flush();
    }

    private static byte[] header(int entries) {
        byte[] header = new byte[HEADER_BYTES];
        ByteBuffer fields = ByteBuffer.wrap(header);
        fields.putLong(0, HEADER_COOKIE);
        fields.putLong(8, -1);
        fields.putLong(TABLE_OFFSET, TABLE_AT);
        fields.putInt(24, VERSION);
        fields.putInt(TABLE_ENTRIES, entries);
        fields.putInt(BLOCK_SIZE, BLOCK_BYTES);
        fields.putInt(HEADER_CHECKSUM, checksum(header, HEADER_BYTES, HEADER_CHECKSUM));
        return header;
    }

    static byte[] footer(long sizeBytes, VhdKind kind, Instant made, UUID identity) {
        byte[] footer = new byte[FOOTER_BYTES];
        ByteBuffer fields = ByteBuffer.wrap(footer);
        fields.putLong(0, FOOTER_COOKIE);
        fields.putInt(8, FEATURES);
        fields.putInt(12, VERSION);
        fields.putLong(DATA_OFFSET, kind == VhdKind.FIXED ? -1 : FOOTER_BYTES);
        fields.putInt(24, (int) (made.getEpochSecond() - EPOCH.getEpochSecond()));
        fields.put(CREATOR, CREATOR_NAME.getBytes(StandardCharsets.US_ASCII));
        fields.putInt(32, CREATOR_VERSION);
        fields.put(36, CREATOR_HOST.getBytes(StandardCharsets.US_ASCII));
        fields.putLong(40, sizeBytes);
        fields.putLong(CURRENT_SIZE, sizeBytes);
        fields.putInt(GEOMETRY, geometry(sizeBytes / SECTOR_BYTES));
        fields.putInt(TYPE, kind == VhdKind.FIXED ? FIXED : DYNAMIC);
        fields.putLong(IDENTITY, identity.getMostSignificantBits());
        fields.putLong(IDENTITY + Long.BYTES, identity.getLeastSignificantBits());
        fields.putInt(FOOTER_CHECKSUM, checksum(footer, FOOTER_BYTES, FOOTER_CHECKSUM));
        return footer;
    }

    /** The geometry that the specification computes for a number of sectors; it has no more than they are. */
    private static int geometry(long sectors) {
        long rest = Math.min(sectors, CYLINDERS_MAX * 16L * 255);
        int sectorsOfTrack;
        int heads;
        long tracks;
        if (rest >= CYLINDERS_MAX * 16L * 63) {
            sectorsOfTrack = 255;
            heads = 16;
            tracks = rest / sectorsOfTrack;
        } else {
            sectorsOfTrack = 17;
            tracks = rest / sectorsOfTrack;
            heads = (int) Math.max(4, (tracks + 1023) / 1024);
            if (tracks >= heads * 1024L || heads > 16) {
                sectorsOfTrack = 31;
                heads = 16;
                tracks = rest / sectorsOfTrack;
            }
            if (tracks >= heads * 1024L) {
                sectorsOfTrack = 63;
                heads = 16;
                tracks = rest / sectorsOfTrack;
            }
        }
        return (int) (tracks / heads) << 16 | heads << 8 | sectorsOfTrack;
    }
}
