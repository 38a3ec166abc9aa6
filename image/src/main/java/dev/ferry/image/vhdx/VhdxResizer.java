package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxImage.flaw;
import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.UUID;

/**
 * Makes the disk in a file that nobody uses longer, by zeroes, or shorter. What a disk loses does not come back when it grows. A crash
 * leaves one size or the other, since the size is one number within one sector, which is written when all else is durable. Blocking
 * code of the control plane.
 *
 * <p>A table of blocks has room for a MiB of entries or more: 1 TiB in blocks of 8 MiB. A disk that needs a longer one gets it at the
 * end of the file, with the same entries; then the regions say where it is, in one sector of each of their two copies. Whichever of the
 * copies is read, and whenever, the blocks are where they are. The room of the old table stays unused.
 */
public final class VhdxResizer {
    private static final long MIB = 1 << 20;
    private static final int PIECE_BYTES = 1 << 20;
    private static final int SECTOR_BYTES = 512;

    private final FileBytes file;
    private final long sizeBytes;
    private VhdxImage image;
    private final int blockBytes;

    private VhdxResizer(FileBytes file, VhdxImage image, long sizeBytes) {
        this.file = file;
        this.image = image;
        this.sizeBytes = sizeBytes;
        this.blockBytes = image.metadata().blockBytes();
    }

    /**
     * Changes the size.
     *
     * @param sizeBytes whole sectors
     * @param fresh any identity; it is that of the data then
     */
    public static void resize(FileBytes file, long sizeBytes, UUID fresh) throws BlockException {
        VhdxImage.replay(file);
        VhdxImage image = VhdxImage.open(file);
        int sector = image.sectorBytes();
        if (sizeBytes <= 0 || sizeBytes > SIZE_BYTES_MAX || sizeBytes % sector != 0) {
            throw flaw(file, ErrorKind.INVALID, "a disk of it has a multiple of " + sector + " bytes, at most 64 TiB");
        }
        if (image.delta()) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it is a differencing disk, which keeps the size of its parent");
        }
        new VhdxResizer(file, image, sizeBytes).resize(fresh);
    }

    private void resize(UUID fresh) throws BlockException {
        boolean longer = sizeBytes > image.sizeBytes();
        if (sizeBytes == image.sizeBytes()) {
            return;
        }
        image.markChanged(file, fresh);
        if (longer) {
            if (entries(sizeBytes) > image.table().length() / Long.BYTES) {
                moveTable();
            }
            clear(image.sizeBytes(), sizeBytes);
            if (image.metadata().allocated()) {
                allocate();
            }
        }
        file.write(image.metadata().sizeAt(), bytes(sizeBytes));
        file.flush();
        if (!longer) {
            clear(sizeBytes, image.sizeBytes());
        }
    }

    /** Makes a table that is long enough, with the entries that there are, and has it be the one that counts. */
    private void moveTable() throws BlockException {
        long at = Math.ceilDiv(file.lengthBytes(), MIB) * MIB;
        long length = Math.ceilDiv(entries(sizeBytes) * Long.BYTES, MIB) * MIB;
        VhdxImage.Region old = image.table();
        long used = entries(image.sizeBytes()) * Long.BYTES;
        byte[] regions = VhdxImage.regions(file);
        byte[] first = firstSector(regions, at, length);
        file.resize(at + length);
        for (long from = 0; from < used; from += PIECE_BYTES) {
            file.write(at + from, file.read(old.offset() + from, (int) Math.min(PIECE_BYTES, used - from)));
        }
        // Both copies say the same, before and after, but for their first sector.
        for (int copy : REGION_TABLES) {
            if (!Arrays.equals(regions, file.read(copy, REGION_TABLE_BYTES))) {
                file.write(copy, regions);
            }
        }
        file.flush();
        for (int copy : REGION_TABLES) {
            file.write(copy, first);
            file.flush();
        }
        image = VhdxImage.open(file);
    }

    /** The first sector of regions with the table of blocks elsewhere; all that changes is in it. */
    private byte[] firstSector(byte[] regions, long tableAt, long tableBytes) throws BlockException {
        byte[] changed = regions.clone();
        for (int i = 0; i < u32(changed, REGION_COUNT); i++) {
            int at = REGION_ENTRIES + i * ENTRY_BYTES;
            if (identity(changed, at).equals(TABLE_REGION)) {
                ByteBuffer.wrap(changed)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putLong(at + 16, tableAt)
                        .putInt(at + 24, (int) tableBytes);
            }
        }
        putSum(changed);
        if (!Arrays.equals(changed, SECTOR_BYTES, changed.length, regions, SECTOR_BYTES, regions.length)) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "its table of blocks is one region of very many; convert it");
        }
        return Arrays.copyOf(changed, SECTOR_BYTES);
    }

    private long blocks(long bytes) {
        return Math.ceilDiv(bytes, (long) blockBytes);
    }

    private long entries(long bytes) {
        long blocks = blocks(bytes);
        return blocks + (blocks - 1) / image.ratio();
    }

    private long placeOfEntry(long block) {
        return image.table().offset() + (block + block / image.ratio()) * Long.BYTES;
    }

    /** Takes what lies behind an end out of the block that it is in, and the blocks up to another end out of the table. */
    private void clear(long end, long to) throws BlockException {
        int within = (int) (end % blockBytes);
        if (within > 0) {
            long place = placeOf(end / blockBytes);
            for (int at = within; place >= 0 && at < blockBytes; at += PIECE_BYTES) {
                file.write(place + at, new byte[Math.min(PIECE_BYTES, blockBytes - at)]);
            }
        }
        long from = placeOfEntry(blocks(end));
        long behind = image.table().offset() + entries(to) * Long.BYTES;
        for (long at = from; at < behind; at += PIECE_BYTES) {
            file.write(at, new byte[(int) Math.min(PIECE_BYTES, behind - at)]);
        }
        file.flush();
    }

    /** Where a block is; -1: it is not there. */
    private long placeOf(long block) throws BlockException {
        long entry = u64(file.read(placeOfEntry(block), Long.BYTES), 0);
        if ((entry & 7) != PRESENT) {
            return -1;
        }
        long place = entry >>> PLACE_SHIFT > PLACE_MAX ? -1 : entry >>> PLACE_SHIFT << PLACE_SHIFT;
        boolean apart = place >= 0 && place <= file.lengthBytes() - blockBytes;
        for (VhdxImage.Region region : image.reserved(file)) {
            apart &= place >= region.offset() + region.length() || place + blockBytes <= region.offset();
        }
        if (!apart) {
            throw flaw(file, ErrorKind.CORRUPT, "an entry of its table is damaged");
        }
        return place;
    }

    /** Gives all new blocks their room, at the end of the file. */
    private void allocate() throws BlockException {
        long place = Math.ceilDiv(file.lengthBytes(), MIB) * MIB;
        long first = blocks(image.sizeBytes());
        long count = blocks(sizeBytes) - first;
        file.resize(place + count * blockBytes);
        file.flush();
        for (long block = first; block < first + count; block++) {
            file.write(placeOfEntry(block), bytes(place | PRESENT));
            place += blockBytes;
        }
        file.flush();
    }

    private static byte[] bytes(long number) {
        byte[] bytes = new byte[Long.BYTES];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(number);
        return bytes;
    }
}
