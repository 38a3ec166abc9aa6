package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Header.sound;
import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * A persistent dirty bitmap, as the bitmap directory has it.
 *
 * @param entryOffset where its directory entry is in the file
 * @param tableOffset where its table is
 * @param tableEntries clusters of its data
 * @param flags {@link #IN_USE}, {@link #AUTO}, …
 */
record StoredBitmap(
        String name, long entryOffset, long tableOffset, int tableEntries, int flags, int type, int granularityBits) {
    static final int IN_USE = 1;
    static final int AUTO = 1 << 1;
    private static final int FIXED_BYTES = 24;
    private static final int FLAGS = 12;

    /** Where the directory lies. */
    record Directory(long offset, long bytes, List<StoredBitmap> bitmaps) {
        static final Directory NONE = new Directory(0, 0, List.of());
    }

    /** Reads the directory of an image whose bitmaps are consistent; any other has none that counts. */
    static Directory read(FileBytes file, Qcow2Header header) throws BlockException {
        byte[] data = header.extension(EXTENSION_BITMAPS);
        if (data == null || (header.autoclear() & AUTOCLEAR_BITMAPS) == 0) {
            return Directory.NONE;
        }
        sound(file, data.length >= 24, "its bitmaps extension is too short");
        long count = u32(data, 0);
        long bytes = u64(data, 8);
        long offset = u64(data, 16);
        sound(file, count >= 1 && count <= BITMAPS_MAX, "it has " + count + " bitmaps");
        sound(
                file,
                bytes >= count * FIXED_BYTES && bytes <= BITMAP_DIRECTORY_BYTES_MAX,
                "its bitmap directory has " + bytes + " bytes");
        header.table(file, "bitmap directory", offset, bytes);
        byte[] directory = file.read(offset, (int) bytes);
        List<StoredBitmap> found = new ArrayList<>();
        int at = 0;
        for (long i = 0; i < count; i++) {
            sound(file, at + FIXED_BYTES <= directory.length, "its bitmap directory is too short");
            int nameLength = u16(directory, at + 18);
            long extraLength = u32(directory, at + 20);
            long length = (FIXED_BYTES + extraLength + nameLength + 7) & ~7L;
            sound(
                    file,
                    nameLength > 0 && length <= directory.length - at,
                    "an entry of its bitmap directory is damaged");
            long entries = u32(directory, at + 8);
            sound(file, entries <= L1_BYTES_MAX, "a bitmap's table is too long");
            long tableOffset = u64(directory, at);
            header.table(file, "table of a bitmap", tableOffset, entries * 8);
            found.add(new StoredBitmap(
                    new String(directory, at + FIXED_BYTES + (int) extraLength, nameLength, StandardCharsets.UTF_8),
                    offset + at,
                    tableOffset,
                    (int) entries,
                    s32(directory, at + FLAGS),
                    directory[at + 16] & 0xff,
                    directory[at + 17] & 0xff));
            at += (int) length;
        }
        return new Directory(offset, bytes, List.copyOf(found));
    }

    /** Says that this bitmap, which should follow every change, does not any more. */
    void markInUse(FileBytes file) throws BlockException {
        byte[] word = new byte[4];
        s32(word, 0, flags | IN_USE);
        file.write(entryOffset + FLAGS, word);
    }
}
