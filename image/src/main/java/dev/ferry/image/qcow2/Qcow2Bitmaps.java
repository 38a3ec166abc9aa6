package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Header.flaw;
import static dev.ferry.image.qcow2.Qcow2Header.sound;
import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What the persistent dirty bitmaps of an image hold: read before it is used, put back when it is not used any more.
 *
 * <pre>
 *   bitmap = entry*        of its table, one for so many bits as a cluster has
 *   entry  = 0             all clean
 *          | 1             all dirty
 *          | offset        of a cluster of bits, the lowest bit of the first byte first
 * </pre>
 *
 * <p>An image whose bitmaps are followed says that they are in use from when it is opened to be written; after a crash it
 * says so still. Putting them back is a {@link Changeover}, within which the image has no bitmaps at all: a crash there loses
 * them, and leaves clusters that nobody refers to, but never a bitmap that is wrong. Blocking code of the control plane.
 * Specification: docs/interop/qcow2.rst, section "Bitmaps".
 */
public final class Qcow2Bitmaps {
    /** What the bits of one bitmap may take. */
    private static final long BITS_BYTES_MAX = 64L << 20;

    private static final int TRACKING = 1;
    private static final long ALL_DIRTY = 1;
    private static final int ENTRY_BYTES = 24;

    private Qcow2Bitmaps() {}

    /**
     * A bitmap with its bits.
     *
     * @param granularityBytes what one bit stands for
     * @param sizeBytes of the disk
     * @param follows it is to follow every change
     * @param inUse it should have, and did not: what it says is not to be believed
     * @param bits the lowest bit of the first byte first; nothing of it counts if it was in use
     */
    @SuppressWarnings("ArrayRecordComponent") // handed over once, and never compared
    public record Content(
            String name, int granularityBytes, long sizeBytes, boolean follows, boolean inUse, byte[] bits) {}

    /** Reads a bitmap; null if the image has none of that name. */
    public static @Nullable Content read(FileBytes file, String name) throws BlockException {
        Qcow2Header header = Qcow2Header.read(file);
        for (StoredBitmap bitmap : StoredBitmap.read(file, header).bitmaps()) {
            if (bitmap.name().equals(name)) {
                return content(file, header, bitmap);
            }
        }
        return null;
    }

    private static Content content(FileBytes file, Qcow2Header header, StoredBitmap bitmap) throws BlockException {
        if (bitmap.type() != TRACKING || bitmap.granularityBits() < 9 || bitmap.granularityBits() > 30) {
            throw flaw(
                    file, ErrorKind.UNSUPPORTED, "its bitmap '" + bitmap.name() + "' is of a kind that is not known");
        }
        int granularity = 1 << bitmap.granularityBits();
        long bytes = bytes(header.sizeBytes(), granularity);
        if (bytes > BITS_BYTES_MAX) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "its bitmap '" + bitmap.name() + "' is too fine for its size");
        }
        boolean inUse = (bitmap.flags() & StoredBitmap.IN_USE) != 0;
        byte[] bits = new byte[inUse ? 0 : (int) bytes];
        int cluster = (int) header.clusterBytes();
        sound(
                file,
                inUse || bitmap.tableEntries() == (bytes + cluster - 1) / cluster,
                "the table of a bitmap is not as long as its disk wants it");
        long[] table = Qcow2Image.longs(file, bitmap.tableOffset(), inUse ? 0 : bitmap.tableEntries());
        for (int i = 0; i < table.length; i++) {
            int at = i * cluster;
            int length = Math.min(cluster, bits.length - at);
            long host = hostOffset(table[i]);
            if (host != 0) {
                header.table(file, "data of a bitmap", host, length);
                file.read(host, bits, at, length);
            } else if (table[i] == ALL_DIRTY) {
                Arrays.fill(bits, at, at + length, (byte) -1);
            }
        }
        return new Content(
                bitmap.name(), granularity, header.sizeBytes(), (bitmap.flags() & StoredBitmap.AUTO) != 0, inUse, bits);
    }

    private static long bytes(long sizeBytes, int granularityBytes) {
        long blocks = (sizeBytes + granularityBytes - 1) / granularityBytes;
        return (blocks + Byte.SIZE - 1) / Byte.SIZE;
    }

    /** Puts bitmaps back that an image has and that followed every change since; they are not in use any more. */
    public static void write(FileBytes file, List<Content> followed) throws BlockException {
        Changeover change = Changeover.of(file);
        Qcow2Header header = change.header;
        Map<String, byte[]> bits = new HashMap<>();
        for (Content content : followed) {
            boolean fits = content.sizeBytes() == header.sizeBytes();
            sound(file, fits, "it has another size than when its bitmaps were read");
            bits.put(content.name(), content.bits());
        }
        List<StoredBitmap> there = change.image.bitmaps.bitmaps();
        long found = there.stream().filter(one -> bits.containsKey(one.name())).count();
        sound(file, found == bits.size(), "it does not have its bitmaps any more");
        Directory directory = new Directory(change, there, bits);
        change.bitmaps(directory);
        change.run();
        refer(file, header, directory);
    }

    /**
     * Those of an image whose disk is to have another size, to be written with that change. What the disk gains is clean, as QEMU
     * has it. One that is in use is refused: what it says of the disk is not known.
     */
    static Directory resized(Changeover change, long sizeBytes) throws BlockException {
        List<StoredBitmap> there = change.image.bitmaps.bitmaps();
        Map<String, byte[]> bits = new HashMap<>();
        for (StoredBitmap one : there) {
            Content content = content(change.file, change.header, one);
            if (content.inUse() || bytes(sizeBytes, content.granularityBytes()) > BITS_BYTES_MAX) {
                String why = content.inUse()
                        ? "' is in use, or was not put back after it was; remove it first"
                        : "' would be too fine for that size";
                throw flaw(change.file, ErrorKind.UNSUPPORTED, "its bitmap '" + one.name() + why);
            }
            bits.put(one.name(), resized(content, sizeBytes));
        }
        return new Directory(change, there, bits);
    }

    private static byte[] resized(Content content, long sizeBytes) {
        int granularity = content.granularityBytes();
        byte[] bits = Arrays.copyOf(content.bits(), (int) bytes(sizeBytes, granularity));
        long kept = Math.ceilDiv(Math.min(sizeBytes, content.sizeBytes()), granularity);
        int last = (int) (kept / Byte.SIZE);
        if (last < bits.length) {
            bits[last] &= (byte) ((1 << kept % Byte.SIZE) - 1);
            Arrays.fill(bits, last + 1, bits.length, (byte) 0);
        }
        return bits;
    }

    /** After a change with a directory: the counts are right for its bitmaps, and the image says so far that it has none. */
    static void refer(FileBytes file, Qcow2Header header, Directory directory) throws BlockException {
        byte[] extension = new byte[ENTRY_BYTES];
        s32(extension, 0, directory.bitmaps.size());
        u64(extension, 8, directory.bytes);
        u64(extension, 16, directory.offset);
        file.write(extensionOffset(file, header), extension);
        file.flush();
        byte[] word = new byte[8];
        u64(word, 0, AUTOCLEAR_BITMAPS | (header.autoclear() & AUTOCLEAR_RAW_DATA));
        file.write(AUTOCLEAR, word);
        file.flush();
    }

    /** Where the data of the bitmaps extension begins. */
    private static long extensionOffset(FileBytes file, Qcow2Header header) throws BlockException {
        byte[] cluster = file.read(0, (int) header.clusterBytes());
        int at = header.bytes();
        while (at + 8 <= cluster.length && s32(cluster, at) != EXTENSION_END) {
            if (s32(cluster, at) == EXTENSION_BITMAPS) {
                return at + 8L;
            }
            at += 8 + ((s32(cluster, at + 4) + 7) & ~7);
        }
        throw flaw(file, ErrorKind.CORRUPT, "it claims bitmaps and has none");
    }

    /** The directory that is to be: the same bitmaps, some of them with other bits. */
    static final class Directory {
        private final Changeover change;
        private final List<StoredBitmap> bitmaps;
        private final Map<String, byte[]> bits;
        private long offset;
        private long bytes;

        Directory(Changeover change, List<StoredBitmap> bitmaps, Map<String, byte[]> bits) {
            this.change = change;
            this.bitmaps = bitmaps;
            this.bits = bits;
        }

        /** Those that stay as they are. */
        List<StoredBitmap> kept() {
            return bitmaps.stream().filter(one -> !bits.containsKey(one.name())).toList();
        }

        /** Writes the others and the directory, to clusters of their own. */
        void write() throws BlockException {
            ByteArrayOutputStream directory = new ByteArrayOutputStream();
            List<StoredBitmap> all = new ArrayList<>();
            for (StoredBitmap one : bitmaps) {
                byte[] content = bits.get(one.name());
                all.add(content == null ? one : stored(one, content));
            }
            for (StoredBitmap one : all) {
                directory.writeBytes(entry(one));
            }
            bytes = directory.size();
            offset = change.clusters.write(directory.toByteArray());
        }

        private StoredBitmap stored(StoredBitmap one, byte[] content) throws BlockException {
            int cluster = (int) change.header.clusterBytes();
            int entries = (content.length + cluster - 1) / cluster;
            byte[] table = new byte[entries * 8];
            for (int i = 0; i < entries; i++) {
                int at = i * cluster;
                byte[] piece = Arrays.copyOfRange(content, at, Math.min(content.length, at + cluster));
                u64(table, i * 8, clean(piece) ? 0 : change.clusters.write(piece));
            }
            long tableOffset = change.clusters.write(table);
            return new StoredBitmap(
                    one.name(),
                    0,
                    tableOffset,
                    entries,
                    one.flags() & ~StoredBitmap.IN_USE,
                    one.type(),
                    one.granularityBits());
        }

        private static boolean clean(byte[] piece) {
            for (byte one : piece) {
                if (one != 0) {
                    return false;
                }
            }
            return true;
        }

        private static byte[] entry(StoredBitmap one) {
            byte[] name = one.name().getBytes(StandardCharsets.UTF_8);
            byte[] entry = new byte[(ENTRY_BYTES + name.length + 7) & ~7];
            u64(entry, 0, one.tableOffset());
            s32(entry, 8, one.tableEntries());
            s32(entry, 12, one.flags());
            entry[16] = (byte) one.type();
            entry[17] = (byte) one.granularityBits();
            entry[18] = (byte) (name.length >>> 8);
            entry[19] = (byte) name.length;
            System.arraycopy(name, 0, entry, ENTRY_BYTES, name.length);
            return entry;
        }
    }
}
