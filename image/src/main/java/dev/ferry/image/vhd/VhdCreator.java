package dev.ferry.image.vhd;

import static dev.ferry.image.vhd.VhdLayout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.image.FileBytes;
import dev.ferry.image.MeasuredBytes;
import dev.ferry.image.sparse.GrainMeasure;
import dev.ferry.image.sparse.Neighbours;
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
        checkSize(file, sizeBytes);
        byte[] footer = footer(sizeBytes, kind == VhdKind.FIXED ? FIXED : DYNAMIC, made, identity);
        if (kind == VhdKind.DYNAMIC) {
            grown(file, sizeBytes, footer, new byte[HEADER_BYTES], new byte[0]);
            return;
        }
        file.resize(0);
        file.resize(sizeBytes + FOOTER_BYTES);
        file.flush();
        file.write(sizeBytes, footer);
        file.flush();
    }

    /**
     * How long the file of a disk gets.
     *
     * @param sizeBytes of the disk, a multiple of 512
     */
    public static GrainMeasure measure(long sizeBytes, VhdKind kind) throws BlockException {
        MeasuredBytes file = new MeasuredBytes("vhd image");
        create(file, sizeBytes, kind, EPOCH, new UUID(0, 0));
        int bitmapBytes = BLOCK_BYTES / SECTOR_BYTES / Byte.SIZE;
        return kind == VhdKind.FIXED
                ? GrainMeasure.fixed(file.lengthBytes())
                : new GrainMeasure(sizeBytes, BLOCK_BYTES, BLOCK_BYTES + bitmapBytes, file.lengthBytes());
    }

    /**
     * What a differencing disk lies over.
     *
     * @param name of its file, beside that of the disk
     * @param identity the one in its footer
     * @param changed when its file was last written to
     */
    public record Parent(String name, UUID identity, Instant changed) {
        public Parent {
            Invariant.that(
                    Neighbours.isName(name) && name.length() < PARENT_NAME_BYTES / 2, "a name that a header can have");
        }
    }

    /**
     * Makes a differencing disk, which reads as its parent does; what the file held is lost. It says where that is from where it
     * is itself, and not by the path that the file has here, which would lead nowhere else.
     */
    public static void createDelta(FileBytes file, long sizeBytes, Instant made, UUID identity, Parent parent)
            throws BlockException {
        checkSize(file, sizeBytes);
        byte[] header = new byte[HEADER_BYTES];
        ByteBuffer fields = ByteBuffer.wrap(header);
        fields.putLong(PARENT_IDENTITY, parent.identity().getMostSignificantBits());
        fields.putLong(PARENT_IDENTITY + Long.BYTES, parent.identity().getLeastSignificantBits());
        fields.putInt(PARENT_TIME, seconds(parent.changed()));
        fields.put(PARENT_NAME, parent.name().getBytes(StandardCharsets.UTF_16BE));
        byte[] path = (".\\" + parent.name()).getBytes(StandardCharsets.UTF_16LE);
        byte[] space = Arrays.copyOf(path, (path.length + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES);
        fields.putInt(LOCATORS, PLATFORM_W2RU);
        fields.putInt(LOCATORS + LOCATOR_SPACE, space.length);
        fields.putInt(LOCATORS + LOCATOR_LENGTH, path.length);
        fields.putLong(LOCATORS + LOCATOR_OFFSET, TABLE_AT + tableBytes(entries(sizeBytes)));
        grown(file, sizeBytes, footer(sizeBytes, DIFFERENCING, made, identity), header, space);
    }

    static void checkSize(FileBytes file, long sizeBytes) throws BlockException {
        if (sizeBytes <= 0 || sizeBytes > SIZE_BYTES_MAX || sizeBytes % SECTOR_BYTES != 0) {
            throw BlockError.of(
                            ErrorKind.INVALID,
                            file.name(),
                            "create",
                            "a vhd disk has a multiple of 512 bytes, and at most 2040 GiB")
                    .toException();
        }
    }

    private static int entries(long sizeBytes) {
        return (int) ((sizeBytes + BLOCK_BYTES - 1) / BLOCK_BYTES);
    }

    static int tableBytes(int entries) {
        return (entries * Integer.BYTES + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
    }

    /** @param behind what lies behind the table, in whole sectors */
    private static void grown(FileBytes file, long sizeBytes, byte[] footer, byte[] header, byte[] behind)
            throws BlockException {
        int tableBytes = tableBytes(entries(sizeBytes));
        byte[] tables = Arrays.copyOf(behind, tableBytes + behind.length);
        System.arraycopy(behind, 0, tables, tableBytes, behind.length);
        Arrays.fill(tables, 0, tableBytes, (byte) -1);
        complete(header, entries(sizeBytes));
        file.resize(0);
        file.write(FOOTER_BYTES, header);
        file.write(TABLE_AT, tables);
        file.write((long) TABLE_AT + tables.length, footer);
        file.flush();
        file.write(0, footer);
        file.flush();
    }

    private static void complete(byte[] header, int entries) {
        ByteBuffer fields = ByteBuffer.wrap(header);
        fields.putLong(0, HEADER_COOKIE);
        fields.putLong(8, -1);
        fields.putLong(TABLE_OFFSET, TABLE_AT);
        fields.putInt(24, VERSION);
        fields.putInt(TABLE_ENTRIES, entries);
        fields.putInt(BLOCK_SIZE, BLOCK_BYTES);
        fields.putInt(HEADER_CHECKSUM, checksum(header, HEADER_BYTES, HEADER_CHECKSUM));
    }

    private static int seconds(Instant instant) {
        return (int) (instant.getEpochSecond() - EPOCH.getEpochSecond());
    }

    private static byte[] footer(long sizeBytes, int type, Instant made, UUID identity) {
        byte[] footer = new byte[FOOTER_BYTES];
        ByteBuffer fields = ByteBuffer.wrap(footer);
        fields.putLong(0, FOOTER_COOKIE);
        fields.putInt(8, FEATURES);
        fields.putInt(12, VERSION);
        fields.putLong(DATA_OFFSET, type == FIXED ? -1 : FOOTER_BYTES);
        fields.putInt(24, seconds(made));
        fields.put(CREATOR, CREATOR_NAME.getBytes(StandardCharsets.US_ASCII));
        fields.putInt(32, CREATOR_VERSION);
        fields.put(36, CREATOR_HOST.getBytes(StandardCharsets.US_ASCII));
        fields.putLong(40, sizeBytes);
        fields.putLong(CURRENT_SIZE, sizeBytes);
        fields.putInt(GEOMETRY, geometry(sizeBytes / SECTOR_BYTES));
        fields.putInt(TYPE, type);
        fields.putLong(IDENTITY, identity.getMostSignificantBits());
        fields.putLong(IDENTITY + Long.BYTES, identity.getLeastSignificantBits());
        fields.putInt(FOOTER_CHECKSUM, checksum(footer, FOOTER_BYTES, FOOTER_CHECKSUM));
        return footer;
    }

    /** The footer of the same disk with another size. */
    static byte[] resized(byte[] footer, long sizeBytes) {
        byte[] other = footer.clone();
        ByteBuffer fields = ByteBuffer.wrap(other);
        // By whose files all programs go by the size, and not by the geometry.
        fields.put(CREATOR, CREATOR_NAME.getBytes(StandardCharsets.US_ASCII));
        fields.putLong(CURRENT_SIZE, sizeBytes);
        fields.putInt(GEOMETRY, geometry(sizeBytes / SECTOR_BYTES));
        fields.putInt(FOOTER_CHECKSUM, checksum(other, FOOTER_BYTES, FOOTER_CHECKSUM));
        return other;
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
