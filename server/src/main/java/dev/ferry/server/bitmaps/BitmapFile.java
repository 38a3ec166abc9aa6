package dev.ferry.server.bitmaps;

import dev.ferry.filter.tracking.DirtyBitmap;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.zip.CRC32C;
import java.util.zip.CheckedInputStream;
import java.util.zip.CheckedOutputStream;
import org.jspecify.annotations.Nullable;

/**
 * The bitmaps of one disk in a file. Numbers are big-endian.
 *
 * <pre>
 *   file   = magic inUse count bitmap* crc
 *   magic  = "FERRYBM1"                 the last digit is the version
 *   inUse  = u8                         1 while somebody marks in memory: nothing here says what is dirty
 *   count  = u8
 *   bitmap = length:u16 name known:u8 granularity:u32 size:u64 piece*
 *   known  = 1, and pieces follow | 0   what is dirty is not known
 *   piece  = 0 | 1 | 2 bits             clean, dirty throughout, or {@link DirtyBitmap#PIECE_BYTES} of bits
 *   crc    = u32                        CRC-32C of all before
 * </pre>
 *
 * <p>A file is replaced as a whole, so that a crash leaves the one before or the one after. The one that says "in use" is
 * durable before the first change that it speaks of.
 */
final class BitmapFile {
    static final int COUNT_MAX = 62;
    static final int NAME_BYTES_MAX = 255;
    static final int GRANULARITY_BYTES_MIN = 512;
    static final int GRANULARITY_BYTES_MAX = 1 << 30;

    /** What the bits of one bitmap may take in memory. */
    private static final long BITS_BYTES_MAX = 64L << 20;

    private static final byte[] MAGIC = "FERRYBM1".getBytes(StandardCharsets.US_ASCII);
    private static final long SIZE_BYTES_MAX = 1L << 46;
    private static final int BUFFER_BYTES = 64 << 10;
    private static final int CLEAN = 0;
    private static final int DIRTY = 1;
    private static final int MIXED = 2;

    private final Path path;

    BitmapFile(Path path) {
        this.path = path;
    }

    /**
     * What a file says.
     *
     * @param inUse it was in use when it was last written, so that none of its bitmaps is known
     */
    record Contents(boolean inUse, List<KeptBitmap> bitmaps) {
        static final Contents NONE = new Contents(false, List.of());
    }

    /** True if a bitmap takes no more memory than it may. */
    static boolean fits(long sizeBytes, int granularityBytes) {
        return sizeBytes / granularityBytes / Byte.SIZE <= BITS_BYTES_MAX;
    }

    // ---- writing

    /**
     * Puts this in the place of what was there; no file is left if there are no bitmaps.
     *
     * @param inUse what is dirty is not written, and will not be known until it is written again
     * @param durable returns when it would outlive a loss of power
     */
    void write(boolean inUse, List<KeptBitmap> bitmaps, boolean durable) throws IOException {
        Path directory = Objects.requireNonNull(path.getParent());
        if (bitmaps.isEmpty()) {
            if (Files.deleteIfExists(path) && durable) {
                force(directory);
            }
            return;
        }
        Path fresh = path.resolveSibling(path.getFileName() + ".new");
        Files.deleteIfExists(fresh);
        try {
            write(fresh, inUse, bitmaps, durable);
            Files.move(fresh, path, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException failed) {
            // What there was stays; a part of a file takes no room.
            Files.deleteIfExists(fresh);
            throw failed;
        }
        if (durable) {
            force(directory);
        }
    }

    private static void write(Path fresh, boolean inUse, List<KeptBitmap> bitmaps, boolean durable) throws IOException {
        var options = Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
        try (FileChannel channel = FileChannel.open(
                fresh, options, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
            CRC32C crc = new CRC32C();
            DataOutputStream out = new DataOutputStream(new BufferedOutputStream(
                    new CheckedOutputStream(Channels.newOutputStream(channel), crc), BUFFER_BYTES));
            out.write(MAGIC);
            out.writeByte(inUse ? 1 : 0);
            out.writeByte(bitmaps.size());
            for (KeptBitmap bitmap : bitmaps) {
                write(out, bitmap, inUse);
            }
            out.flush();
            out.writeInt((int) crc.getValue());
            out.flush();
            if (durable) {
                channel.force(true);
            }
        }
    }

    private static void write(DataOutputStream out, KeptBitmap bitmap, boolean inUse) throws IOException {
        byte[] name = bitmap.name().getBytes(StandardCharsets.UTF_8);
        out.writeShort(name.length);
        out.write(name);
        @Nullable DirtyBitmap bits = bitmap.bits();
        out.writeByte(bits == null ? 0 : 1);
        out.writeInt(bitmap.granularityBytes());
        out.writeLong(bitmap.sizeBytes());
        if (bits == null || inUse) {
            return;
        }
        byte[] piece = new byte[DirtyBitmap.PIECE_BYTES];
        for (int i = 0; i < bits.pieces(); i++) {
            int dirty = bits.dirtyIn(i);
            int kind = dirty == 0 ? CLEAN : dirty == bits.blocksIn(i) ? DIRTY : MIXED;
            out.writeByte(kind);
            if (kind == MIXED) {
                bits.copyPiece(i, piece, 0);
                out.write(piece);
            }
        }
    }

    private static void force(Path directory) throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    // ---- reading

    /** @throws IOException with a line for people that names the file, where it is not what was written */
    Contents read() throws IOException {
        if (Files.notExists(path, LinkOption.NOFOLLOW_LINKS)) {
            return Contents.NONE;
        }
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
            // The sum is taken above the buffer: of what was read, and not of what was read ahead.
            CRC32C crc = new CRC32C();
            DataInputStream in = new DataInputStream(new CheckedInputStream(
                    new BufferedInputStream(Channels.newInputStream(channel), BUFFER_BYTES), crc));
            byte[] magic = in.readNBytes(MAGIC.length);
            if (!Arrays.equals(magic, MAGIC)) {
                throw damaged("it does not begin as this version writes them");
            }
            boolean inUse = in.readUnsignedByte() != 0;
            int count = in.readUnsignedByte();
            List<KeptBitmap> bitmaps = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                bitmaps.add(bitmap(in, inUse));
            }
            int sum = (int) crc.getValue();
            if (in.readInt() != sum) {
                throw damaged("its checksum is wrong");
            }
            return new Contents(inUse, List.copyOf(bitmaps));
        } catch (EOFException cut) {
            throw damaged("it is too short");
        }
    }

    private KeptBitmap bitmap(DataInputStream in, boolean inUse) throws IOException {
        int length = in.readUnsignedShort();
        byte[] name = in.readNBytes(Math.min(length, NAME_BYTES_MAX));
        int known = in.readUnsignedByte();
        int granularity = in.readInt();
        long size = in.readLong();
        if (length == 0
                || length > NAME_BYTES_MAX
                || known > 1
                || granularity < GRANULARITY_BYTES_MIN
                || granularity > GRANULARITY_BYTES_MAX
                || Integer.bitCount(granularity) != 1
                || size <= 0
                || size > SIZE_BYTES_MAX
                || !fits(size, granularity)) {
            throw damaged("a bitmap in it cannot be one");
        }
        String text = new String(name, StandardCharsets.UTF_8);
        if (known == 0 || inUse) {
            return new KeptBitmap(text, granularity, size, null);
        }
        DirtyBitmap bits = new DirtyBitmap(size, granularity);
        byte[] piece = new byte[DirtyBitmap.PIECE_BYTES];
        for (int i = 0; i < bits.pieces(); i++) {
            switch (in.readUnsignedByte()) {
                case CLEAN -> {}
                case DIRTY -> {
                    Arrays.fill(piece, (byte) -1);
                    bits.putPiece(i, piece, 0);
                }
                case MIXED -> {
                    in.readFully(piece);
                    bits.putPiece(i, piece, 0);
                }
                default -> throw damaged("a piece in it is of no kind");
            }
        }
        return new KeptBitmap(text, granularity, size, bits);
    }

    private IOException damaged(String why) {
        return new IOException("the dirty bitmaps in " + path + " are damaged: " + why
                + "; delete that file, and add them again before the next full backup");
    }
}
