package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.Fields.SECTOR_BYTES;
import static dev.ferry.image.vmdk.VmdkDescriptor.flaw;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Makes a disk longer, by zeroes, or shorter, which nobody uses. What a disk loses does not come back when it grows. Blocking code
 * of the control plane.
 *
 * <p>In one sparse file the size is in the header, which is one sector: it is written when all that it speaks of is durable, and
 * a crash leaves one size or the other. A disk that needs more tables gets them, and directories of all tables, at the end of the
 * file. What the text says of the size, which no reader goes by, follows. A disk that is text and files beside it has its size in the
 * text, which whoever asks puts in the place of the old one; no file that the text names is changed but for what lies behind its end.
 */
public final class VmdkResizer {
    private static final long SECTORS_MAX = 1L << 32;

    private final FileBytes file;
    private final VmdkSparse image;
    private final GrainTablesAt where;
    private final long sizeBytes;
    private final int tableBytes;

    private VmdkResizer(FileBytes file, VmdkSparse image, long sizeBytes) throws BlockException {
        this.file = file;
        this.image = image;
        this.where = image.tablesToChange();
        this.sizeBytes = sizeBytes;
        this.tableBytes = where.tableEntries() * Integer.BYTES;
    }

    /** True for a disk that is all in one sparse file, whose size {@link #resize} changes. */
    public static boolean isInOneFile(FileBytes first) throws BlockException {
        return VmdkSparse.looksLikeOne(first);
    }

    private static void check(FileBytes file, VmdkDescriptor descriptor, long sizeBytes) throws BlockException {
        if (sizeBytes <= 0 || sizeBytes % SECTOR_BYTES != 0 || sizeBytes / SECTOR_BYTES >= SECTORS_MAX) {
            throw flaw(file, ErrorKind.INVALID, "a disk of it has a multiple of 512 bytes, and less than 2 TiB");
        }
        if (descriptor.delta()) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it is a delta, which keeps the size of its parent");
        }
    }

    /**
     * Changes the size of a disk in one sparse file.
     *
     * @param sizeBytes a multiple of 512
     * @param contentId any number; it is the disk's then
     */
    public static void resize(FileBytes file, long sizeBytes, int contentId) throws BlockException {
        VmdkSparse image = VmdkSparse.open(file);
        VmdkDescriptor descriptor = image.descriptor();
        if (descriptor == null) {
            throw flaw(file, ErrorKind.INVALID, "it is an extent of a disk");
        }
        check(file, descriptor, sizeBytes);
        if (descriptor.extents().size() != 1) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it names further files besides its own");
        }
        new VmdkResizer(file, image, sizeBytes).resize(contentId);
    }

    /**
     * Changes the size of a sparse file that is one of several of a disk, and that no disk names meanwhile.
     *
     * @param sizeBytes a multiple of 512
     */
    public static void resizeExtent(FileBytes file, long sizeBytes) throws BlockException {
        new VmdkResizer(file, VmdkSparse.open(file), sizeBytes).resizeTables();
    }

    /**
     * What the text of a disk in files of their own says, if it is one that can have another size: flat or sparse files, all of
     * one kind, each the disk's alone.
     *
     * @param text the file that the text is in
     */
    public static VmdkDescriptor inFiles(FileBytes text, long sizeBytes) throws BlockException {
        VmdkDescriptor descriptor = VmdkDescriptor.read(text);
        check(text, descriptor, sizeBytes);
        VmdkDescriptor.Kind kind = descriptor.extents().getFirst().kind();
        boolean known = kind == VmdkDescriptor.Kind.FLAT || kind == VmdkDescriptor.Kind.SPARSE;
        Set<String> names = new HashSet<>();
        for (VmdkDescriptor.Extent extent : descriptor.extents()) {
            known &= extent.kind() == kind && extent.fromSector() == 0 && names.add(extent.fileName());
        }
        if (!known) {
            throw flaw(
                    text,
                    ErrorKind.UNSUPPORTED,
                    "of disks in files of their own those in flat or in sparse files are resized; convert it");
        }
        return descriptor;
    }

    /** The text of a disk in other files, or in some of other sizes; all else stays as it is. */
    public static byte[] textOf(FileBytes text, List<VmdkDescriptor.Extent> extents, int contentId)
            throws BlockException {
        return VmdkDescriptor.withExtents(text.read(0, (int) text.lengthBytes()), extents, contentId);
    }

    private void resize(int contentId) throws BlockException {
        if (sizeBytes != image.sizeBytes()) {
            resizeTables();
            describe(contentId);
        }
    }

    private void resizeTables() throws BlockException {
        long had = image.sizeBytes();
        if (sizeBytes > had) {
            clear(had);
            grow();
        } else {
            file.write(0, image.header(sizeBytes, image.directoryAt(), image.secondAt()));
            file.flush();
            clear(sizeBytes);
        }
    }

    /** Takes what lies behind an end out of the grain that it is in, and out of all tables that there are, the second ones first. */
    private void clear(long end) throws BlockException {
        int grainBytes = image.grainBytes();
        long grain = end / grainBytes;
        int within = (int) (end % grainBytes);
        long tables = where.directory().length;
        if (within > 0) {
            byte[] entry =
                    file.read(where.tableOf(grain) + grain % where.tableEntries() * Integer.BYTES, Integer.BYTES);
            long at = Fields.u32(entry, 0) * SECTOR_BYTES;
            if (at > SECTOR_BYTES) {
                Fields.require(
                        file,
                        where.holdsData(at, grainBytes) && at <= file.lengthBytes() - within,
                        "an entry of its tables is damaged");
                file.write(
                        at + within, new byte[(int) Math.min(grainBytes - within, file.lengthBytes() - at - within)]);
            }
            grain++;
        }
        for (long table = grain / where.tableEntries(); table < tables; table++) {
            int from = (int) Math.max(0, grain - table * where.tableEntries()) * Integer.BYTES;
            byte[] nothing = new byte[tableBytes - from];
            if (from < tableBytes) {
                long second = image.hasSecond() ? where.second()[(int) table] : 0;
                if (second > 0) {
                    file.write(second + from, nothing);
                }
                file.write(where.directory()[(int) table] + from, nothing);
            }
        }
        file.flush();
    }

    private void grow() throws BlockException {
        int had = where.directory().length;
        long grains = Math.ceilDiv(sizeBytes, (long) image.grainBytes());
        int tables = (int) Math.ceilDiv(grains, (long) where.tableEntries());
        long directoryAt = image.directoryAt();
        long secondAt = image.secondAt();
        if (tables > had) {
            long at = Math.ceilDiv(file.lengthBytes(), (long) SECTOR_BYTES) * SECTOR_BYTES;
            if (image.hasSecond()) {
                secondAt = at;
                at = directory(where.second(), tables, at);
            }
            directoryAt = at;
            at = directory(where.directory(), tables, at);
            Fields.require(file, at / SECTOR_BYTES < SECTORS_MAX, "there is no room for its tables within 2 TiB");
        }
        file.flush();
        file.write(0, image.header(sizeBytes, directoryAt, secondAt));
        file.flush();
    }

    /**
     * Writes a directory of the tables that there are and of new ones, which follow it.
     *
     * @return where they end
     */
    private long directory(long[] known, int tables, long at) throws BlockException {
        byte[] directory =
                new byte[(int) Math.ceilDiv((long) tables * Integer.BYTES, (long) SECTOR_BYTES) * SECTOR_BYTES];
        ByteBuffer fields = ByteBuffer.wrap(directory).order(ByteOrder.LITTLE_ENDIAN);
        long next = at + directory.length;
        for (int i = 0; i < tables; i++) {
            long table = i < known.length ? known[i] : next;
            next += i < known.length ? 0 : Math.max(tableBytes, SECTOR_BYTES);
            fields.putInt((int) (table / SECTOR_BYTES));
        }
        file.resize(next);
        file.write(at, directory);
        return next;
    }

    /** The text is changed in one sector, where that is possible. */
    private void describe(int contentId) throws BlockException {
        long at = image.descriptorAt();
        byte[] text = file.read(at, (int) image.descriptorBytes());
        byte[] changed = VmdkDescriptor.resized(text, sizeBytes, contentId);
        for (int from = 0; from < text.length; from += SECTOR_BYTES) {
            if (!Arrays.equals(text, from, from + SECTOR_BYTES, changed, from, from + SECTOR_BYTES)) {
                file.write(at + from, changed, from, SECTOR_BYTES);
            }
        }
        file.flush();
    }
}
