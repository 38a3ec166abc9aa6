package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxImage.flaw;
import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.UUID;

/**
 * Makes the disk in a file that nobody uses longer, by zeroes, or shorter, as far as its table of blocks has room, which is a
 * MiB or more: 1 TiB in blocks of 8 MiB. What a disk loses does not come back when it grows. A crash leaves one size or the other,
 * since the size is one number within one sector, which is written when all else is durable. Blocking code of the control plane.
 */
public final class VhdxResizer {
    private static final long MIB = 1 << 20;
    private static final int PIECE_BYTES = 1 << 20;

    private final FileBytes file;
    private final VhdxImage image;
    private final long sizeBytes;
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
        long entriesMax = image.table().length() / Long.BYTES;
        if (entries(sizeBytes) > entriesMax) {
            long blocks = entriesMax - entriesMax / (image.ratio() + 1);
            throw flaw(
                    file,
                    ErrorKind.UNSUPPORTED,
                    "its table has room for a disk of " + blocks * blockBytes + " bytes at most; convert it");
        }
        boolean longer = sizeBytes > image.sizeBytes();
        if (sizeBytes == image.sizeBytes()) {
            return;
        }
        image.markChanged(file, fresh);
        if (longer) {
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
