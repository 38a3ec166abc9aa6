package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.image.FileBytes;
import dev.ferry.image.MeasuredBytes;
import dev.ferry.image.sparse.GrainMeasure;
import dev.ferry.image.sparse.Neighbours;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * Makes VHDX files, all zeroes. What tells a reader what the file is comes last, and is written when all else is durable.
 * Blocking code of the control plane.
 *
 * <pre>
 *   0 identifier, headers, regions | 1 MiB log, empty | 2 MiB metadata | 3 MiB table of blocks | blocks
 * </pre>
 */
public final class VhdxCreator {
    private static final int MIB = 1 << 20;
    private static final int BLOCK_BYTES = 8 << 20;

    /** Of a differencing disk; as Hyper-V makes them. */
    private static final int DELTA_BLOCK_BYTES = 2 << 20;

    private static final int SECTOR_BYTES = 512;
    private static final int PHYSICAL_BYTES = 4096;
    private static final int LOG_AT = MIB;
    private static final int METADATA_AT = 2 * MIB;
    private static final int TABLE_AT = 3 * MIB;
    private static final int ITEMS_AT = 64 << 10;
    private static final int FLAG_OF_DISK = 2;
    private static final int REQUIRED = 4;
    private static final int NAME_MAX = 512;

    private final FileBytes file;
    private final long sizeBytes;
    private final VhdxKind kind;
    private final UUID identity;
    private final @Nullable Parent parent;
    private final int blockBytes;
    private final int sectorBytes;

    private VhdxCreator(FileBytes file, long sizeBytes, VhdxKind kind, UUID identity, @Nullable Parent parent) {
        this.file = file;
        this.sizeBytes = sizeBytes;
        this.kind = kind;
        this.identity = identity;
        this.parent = parent;
        this.blockBytes = parent == null ? BLOCK_BYTES : DELTA_BLOCK_BYTES;
        this.sectorBytes = parent == null ? SECTOR_BYTES : parent.sectorBytes();
    }

    /**
     * What a differencing disk lies over.
     *
     * @param name of its file, beside that of the disk
     * @param dataIdentity of what it holds now
     * @param sectorBytes of its sectors, which the disk has too
     */
    public record Parent(String name, UUID dataIdentity, int sectorBytes) {
        public Parent {
            Invariant.that(Neighbours.isName(name) && name.length() <= NAME_MAX, "a name that a locator can have");
        }
    }

    /**
     * Makes a disk; what the file held is lost.
     *
     * @param sizeBytes of the disk, a multiple of 512
     * @param identity any that no other disk has
     */
    public static void create(FileBytes file, long sizeBytes, VhdxKind kind, UUID identity) throws BlockException {
        new VhdxCreator(file, sizeBytes, kind, identity, null).create();
    }

    /**
     * How long the file of a disk gets.
     *
     * @param sizeBytes of the disk, a multiple of 512
     */
    public static GrainMeasure measure(long sizeBytes, VhdxKind kind) throws BlockException {
        MeasuredBytes file = new MeasuredBytes("vhdx image");
        create(file, sizeBytes, VhdxKind.DYNAMIC, new UUID(0, 0));
        GrainMeasure measure = new GrainMeasure(sizeBytes, BLOCK_BYTES, BLOCK_BYTES, file.lengthBytes());
        return kind == VhdxKind.FIXED ? GrainMeasure.fixed(measure.fullyAllocatedBytes()) : measure;
    }

    /** Makes a differencing disk, which reads as its parent does; what the file held is lost. */
    public static void createDelta(FileBytes file, long sizeBytes, UUID identity, Parent parent) throws BlockException {
        new VhdxCreator(file, sizeBytes, VhdxKind.DYNAMIC, identity, parent).create();
    }

    private void create() throws BlockException {
        if (sizeBytes <= 0 || sizeBytes > SIZE_BYTES_MAX || sizeBytes % sectorBytes != 0) {
            throw BlockError.of(
                            ErrorKind.INVALID,
                            file.name(),
                            "create",
                            "a vhdx disk has a multiple of " + sectorBytes + " bytes, and at most 64 TiB")
                    .toException();
        }
        long blocks = (sizeBytes + blockBytes - 1) / blockBytes;
        long ratio = CHUNK_SECTORS * sectorBytes / blockBytes;
        // Of a differencing disk the bitmap of the last blocks has an entry too.
        long entries = parent == null ? blocks + (blocks - 1) / ratio : Math.ceilDiv(blocks, ratio) * (ratio + 1);
        long tableBytes = (entries * Long.BYTES + MIB - 1) / MIB * MIB;
        long first = TABLE_AT + tableBytes;
        file.resize(0);
        file.resize(kind == VhdxKind.FIXED ? first + blocks * blockBytes : first);
        if (kind == VhdxKind.FIXED) {
            writeTable(blocks, ratio, first);
        }
        file.write(METADATA_AT, metadata());
        byte[] regions = regions(tableBytes);
        for (int at : REGION_TABLES) {
            file.write(at, regions);
        }
        file.write(HEADERS[0], header(1, identity, identity, LOG_AT, MIB));
        file.write(HEADERS[1], header(2, identity, identity, LOG_AT, MIB));
        file.flush();
        byte[] who = new byte[2 * Long.BYTES];
        ByteBuffer.wrap(who).order(ByteOrder.LITTLE_ENDIAN).putLong(FILE_MAGIC);
        file.write(Long.BYTES, "Ferry".getBytes(StandardCharsets.UTF_16LE));
        file.write(0, who, 0, Long.BYTES);
        file.flush();
    }

    private void writeTable(long blocks, long ratio, long first) throws BlockException {
        int inPiece = MIB / Long.BYTES;
        byte[] piece = new byte[MIB];
        ByteBuffer fields = ByteBuffer.wrap(piece).order(ByteOrder.LITTLE_ENDIAN);
        long entries = blocks + (blocks - 1) / ratio;
        for (long from = 0; from < entries; from += inPiece) {
            for (int i = 0; i < inPiece; i++) {
                long entry = from + i;
                boolean block = entry < entries && entry % (ratio + 1) != ratio;
                long number = entry - entry / (ratio + 1);
                fields.putLong(i * Long.BYTES, block ? first + number * blockBytes | PRESENT : 0);
            }
            file.write(TABLE_AT + from * Long.BYTES, piece);
        }
    }

    static byte[] header(long sequence, UUID fileIdentity, UUID dataIdentity, long logAt, long logBytes) {
        byte[] header = new byte[HEADER_BYTES];
        ByteBuffer fields = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN);
        fields.putInt(0, (int) HEADER_MAGIC);
        fields.putLong(SEQUENCE, sequence);
        putIdentity(header, FILE_IDENTITY, fileIdentity);
        putIdentity(header, DATA_IDENTITY, dataIdentity);
        fields.putShort(VERSION, (short) 1);
        fields.putInt(LOG_LENGTH, (int) logBytes);
        fields.putLong(LOG_PLACE, logAt);
        putSum(header);
        return header;
    }

    private static byte[] regions(long tableBytes) {
        byte[] regions = new byte[REGION_TABLE_BYTES];
        ByteBuffer fields = ByteBuffer.wrap(regions).order(ByteOrder.LITTLE_ENDIAN);
        fields.putInt(0, (int) REGION_MAGIC);
        fields.putInt(REGION_COUNT, 2);
        region(regions, 0, TABLE_REGION, TABLE_AT, tableBytes);
        region(regions, 1, METADATA_REGION, METADATA_AT, MIB);
        putSum(regions);
        return regions;
    }

    private static void region(byte[] regions, int index, UUID which, long offset, long length) {
        int at = REGION_ENTRIES + index * ENTRY_BYTES;
        putIdentity(regions, at, which);
        ByteBuffer.wrap(regions)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(at + 16, offset)
                .putInt(at + 24, (int) length)
                .putInt(at + 28, 1);
    }

    private byte[] metadata() {
        byte[] locator = parent == null ? new byte[0] : locator(parent);
        byte[] region = new byte[ITEMS_AT + PHYSICAL_BYTES + locator.length];
        ByteBuffer fields = ByteBuffer.wrap(region).order(ByteOrder.LITTLE_ENDIAN);
        fields.putLong(0, METADATA_MAGIC);
        fields.putShort(METADATA_COUNT, (short) (parent == null ? 5 : 6));
        int at = ITEMS_AT;
        at = item(region, 1, FILE_PARAMETERS, at, 8, REQUIRED);
        at = item(region, 2, DISK_SIZE, at, 8, REQUIRED | FLAG_OF_DISK);
        at = item(region, 3, DISK_IDENTITY, at, 16, REQUIRED | FLAG_OF_DISK);
        at = item(region, 4, LOGICAL_SECTOR, at, 4, REQUIRED | FLAG_OF_DISK);
        int end = item(region, 5, PHYSICAL_SECTOR, at, 4, REQUIRED | FLAG_OF_DISK);
        if (parent != null) {
            int _ = item(region, 6, PARENT_LOCATOR, end, locator.length, REQUIRED);
            fields.put(end, locator);
        }
        int flags = (kind == VhdxKind.FIXED ? 1 : 0) | (parent == null ? 0 : HAS_PARENT);
        fields.putInt(ITEMS_AT, blockBytes).putInt(ITEMS_AT + 4, flags);
        fields.putLong(ITEMS_AT + 8, sizeBytes);
        putIdentity(region, ITEMS_AT + 16, identity);
        fields.putInt(at - 4, sectorBytes).putInt(end - 4, PHYSICAL_BYTES);
        return region;
    }

    /** Where the parent is from where the file is itself; a path on this host would lead nowhere on another. */
    private static byte[] locator(Parent parent) {
        return VhdxLink.locator("{" + parent.dataIdentity() + "}", parent.name());
    }

    /** @return where the next one is to be */
    private static int item(byte[] region, int index, UUID which, int at, int length, int flags) {
        int entry = index * ENTRY_BYTES;
        putIdentity(region, entry, which);
        ByteBuffer.wrap(region)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(entry + 16, at)
                .putInt(entry + 20, length)
                .putInt(entry + 24, flags);
        return at + length;
    }
}
