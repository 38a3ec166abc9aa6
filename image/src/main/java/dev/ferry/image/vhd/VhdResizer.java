package dev.ferry.image.vhd;

import static dev.ferry.image.vhd.VhdImage.s32;
import static dev.ferry.image.vhd.VhdImage.u64;
import static dev.ferry.image.vhd.VhdLayout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.TreeSet;

/**
 * Makes the disk in a file that nobody uses longer, by zeroes, or shorter. What a disk loses does not come back when it grows.
 * A crash leaves one size or the other. Blocking code of the control plane.
 *
 * <p>A fixed disk gets its new footer first: longer, by one write past the end; shorter, over what it loses. A dynamic one that
 * grows gets what its new end needs first, then a table that is longer, at the end of the file if it has no room where it is, then
 * the header that says so, which is one sector, then its footer and the copy of that. The footer is at the end of the file at
 * each instant, or its copy at the beginning counts.
 *
 * <p>Blocks that a dynamic disk loses become zeroes before they are taken out of the table, and the file is cut off behind the last
 * one that stays: other programs put the next block there, and take what is in it for zeroes.
 */
public final class VhdResizer {
    private static final int PIECE_BYTES = 1 << 20;

    private final FileBytes file;
    private final VhdImage image;
    private final long sizeBytes;

    private VhdResizer(FileBytes file, VhdImage image, long sizeBytes) {
        this.file = file;
        this.image = image;
        this.sizeBytes = sizeBytes;
    }

    /** @param sizeBytes a multiple of 512 */
    public static void resize(FileBytes file, long sizeBytes) throws BlockException {
        VhdImage image = VhdImage.open(file);
        VhdCreator.checkSize(file, sizeBytes);
        if (image.delta()) {
            throw VhdImage.flaw(
                    file, ErrorKind.UNSUPPORTED, "it is a differencing disk, which keeps the size of its parent");
        }
        new VhdResizer(file, image, sizeBytes).resize();
    }

    private void resize() throws BlockException {
        byte[] footer = VhdCreator.resized(image.footer(), sizeBytes);
        int[] table = image.table();
        boolean longer = sizeBytes > image.sizeBytes();
        if (table == null) {
            fixed(footer, longer);
            return;
        }
        checkTable(table);
        if (longer) {
            clear(table, image.sizeBytes());
            makeRoom(table);
            footers(footer);
        } else if (sizeBytes < image.sizeBytes()) {
            footers(footer);
            int[] kept = Arrays.copyOf(table, blocks(sizeBytes));
            clear(kept, sizeBytes);
            cutOff(kept, footer);
        }
    }

    private void fixed(byte[] footer, boolean longer) throws BlockException {
        long end = image.sizeBytes();
        if (longer) {
            file.extend(sizeBytes, footer);
            file.flush();
            // Where the footer was is a part of the disk now.
            file.write(end, new byte[(int) Math.min(FOOTER_BYTES, sizeBytes - end)]);
        } else if (sizeBytes < end) {
            file.write(sizeBytes, footer);
            file.flush();
            file.resize(sizeBytes + FOOTER_BYTES);
        }
        file.flush();
    }

    private int blocks(long bytes) {
        return (int) Math.ceilDiv(bytes, image.blockBytes());
    }

    private int entries() throws BlockException {
        return s32(header(), TABLE_ENTRIES);
    }

    private byte[] header() throws BlockException {
        return file.read(headerAt(), HEADER_BYTES);
    }

    private long headerAt() {
        return u64(image.footer(), DATA_OFFSET);
    }

    /** What the header says of more entries than the disk needs must not lie over anything either. */
    private void checkTable(int[] table) throws BlockException {
        image.checkApart(table);
        long entries = entries() & 0xffff_ffffL;
        long end = image.tableAt() + entries * Integer.BYTES;
        long bytes = bytesOfBlock();
        boolean sound = entries <= BLOCKS_MAX && end <= file.lengthBytes() - FOOTER_BYTES;
        for (int sector : table) {
            long at = placeOf(sector);
            sound &= sector == -1 || at >= end || at + bytes <= image.tableAt();
        }
        if (!sound) {
            throw VhdImage.flaw(file, ErrorKind.CORRUPT, "its table goes over its blocks, or past the end of the file");
        }
    }

    /** Takes what lies behind the end of the disk out of its last block, and out of the table. */
    private void clear(int[] table, long end) throws BlockException {
        int within = (int) (end % image.blockBytes());
        int last = table[table.length - 1];
        if (within > 0 && last != -1) {
            long at = placeOf(last) + bitmapBytes(image.blockBytes()) + within;
            file.write(at, new byte[image.blockBytes() - within]);
        }
        int stale = entries() - table.length;
        if (stale > 0) {
            long staleAt = image.tableAt() + (long) table.length * Integer.BYTES;
            byte[] entries = file.read(staleAt, stale * Integer.BYTES);
            zero(table, ByteBuffer.wrap(entries));
            file.flush();
            Arrays.fill(entries, (byte) -1);
            file.write(staleAt, entries);
        }
        file.flush();
    }

    private long bytesOfBlock() {
        return (long) bitmapBytes(image.blockBytes()) + image.blockBytes();
    }

    private static long placeOf(int sector) {
        return (sector & 0xffff_ffffL) * SECTOR_BYTES;
    }

    /** Where the header and the table end; they lie in front of all blocks, or the table behind some. */
    private long endOfTables() throws BlockException {
        return Math.max(headerAt() + HEADER_BYTES, image.tableAt() + VhdCreator.tableBytes(entries()));
    }

    /** Makes zeroes of blocks that are lost, but for what is no place of a block. */
    private void zero(int[] kept, ByteBuffer lost) throws BlockException {
        TreeSet<Long> places = new TreeSet<>();
        for (int sector : kept) {
            if (sector != -1) {
                places.add(placeOf(sector));
            }
        }
        long bytes = bytesOfBlock();
        byte[] zeroes = new byte[PIECE_BYTES];
        while (lost.hasRemaining()) {
            int sector = lost.getInt();
            long at = placeOf(sector);
            Long before = places.floor(at);
            Long behind = places.ceiling(at);
            boolean overTable = at < endOfTables() && at + bytes > image.tableAt();
            boolean apart = sector != -1
                    && at >= headerAt() + HEADER_BYTES
                    && !overTable
                    && at <= file.lengthBytes() - FOOTER_BYTES - bytes
                    && (before == null || before + bytes <= at)
                    && (behind == null || at + bytes <= behind);
            for (long done = 0; apart && done < bytes; done += PIECE_BYTES) {
                file.write(at + done, zeroes, 0, (int) Math.min(PIECE_BYTES, bytes - done));
            }
        }
    }

    private void cutOff(int[] kept, byte[] footer) throws BlockException {
        long end = endOfTables();
        for (int sector : kept) {
            end = sector == -1 ? end : Math.max(end, placeOf(sector) + bytesOfBlock());
        }
        if (end + FOOTER_BYTES < file.lengthBytes()) {
            file.write(end, footer);
            file.flush();
            file.resize(end + FOOTER_BYTES);
            file.flush();
        }
    }

    /** Has the table say of as many blocks as there are to be. */
    private void makeRoom(int[] table) throws BlockException {
        int needed = blocks(sizeBytes);
        if (needed <= entries()) {
            return;
        }
        long end = file.lengthBytes() - FOOTER_BYTES;
        boolean footerIsLast = VhdImage.sound(file.read(end, FOOTER_BYTES));
        long at = footerIsLast ? end : Math.ceilDiv(file.lengthBytes(), SECTOR_BYTES) * SECTOR_BYTES;
        byte[] longer = new byte[VhdCreator.tableBytes(needed)];
        Arrays.fill(longer, (byte) -1);
        ByteBuffer.wrap(longer).asIntBuffer().put(table);
        file.resize(at + longer.length + FOOTER_BYTES);
        file.write(at + longer.length, image.footer());
        file.flush();
        file.write(at, longer);
        file.flush();
        byte[] header = header();
        ByteBuffer fields = ByteBuffer.wrap(header);
        fields.putLong(TABLE_OFFSET, at);
        fields.putInt(TABLE_ENTRIES, needed);
        fields.putInt(HEADER_CHECKSUM, checksum(header, HEADER_BYTES, HEADER_CHECKSUM));
        file.write(headerAt(), header, 0, SECTOR_BYTES);
        file.flush();
    }

    private void footers(byte[] footer) throws BlockException {
        long last = file.lengthBytes() - FOOTER_BYTES;
        if (VhdImage.sound(file.read(last, FOOTER_BYTES))) {
            file.write(last, footer);
            file.flush();
        }
        file.write(0, footer);
        file.flush();
    }
}
