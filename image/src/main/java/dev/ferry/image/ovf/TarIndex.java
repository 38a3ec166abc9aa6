package dev.ferry.image.ovf;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Neighbours;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Where the files of a tar archive lie in it (POSIX.1-2001, ustar and pax; and GNU's long names and large sizes). Blocking code.
 *
 * <pre>
 *   archive  (header, data up to a multiple of 512)* two blocks of zeroes
 *   header   0 name   124 size in octal   148 checksum   156 kind   257 "ustar"   345 prefix of the name
 *   kind     0: a file; x: pax, what follows has the path and size in it; L: GNU, what follows has the name in it
 * </pre>
 *
 * An appliance has its files side by side: a name that leads elsewhere, and anything but a file, is refused.
 */
public final class TarIndex {
    private static final int BLOCK_BYTES = 512;
    private static final int FILES_MAX = 1024;
    private static final int EXTENSION_BYTES_MAX = 64 << 10;
    private static final int NAME_BYTES = 100;
    private static final int SIZE = 124;
    private static final int SIZE_BYTES = 12;
    private static final int CHECKSUM = 148;
    private static final int CHECKSUM_BYTES = 8;
    private static final int KIND = 156;
    private static final int MAGIC = 257;
    private static final int PREFIX = 345;
    private static final int PREFIX_BYTES = 155;

    private final FileBytes file;
    private final List<Entry> entries = new ArrayList<>();
    private final Set<String> names = new HashSet<>();
    private @Nullable String nextName;
    private long nextBytes = -1;

    /**
     * A file of the archive.
     *
     * @param offset of its first byte in the archive
     */
    public record Entry(String name, long offset, long sizeBytes) {}

    private TarIndex(FileBytes file) {
        this.file = file;
    }

    /** The files of an archive, in its order. */
    public static List<Entry> of(FileBytes file) throws BlockException {
        TarIndex index = new TarIndex(file);
        long at = 0;
        while (at >= 0) {
            at = index.next(at);
        }
        return List.copyOf(index.entries);
    }

    /** Looks at what is at an offset, and gives that of the next; below zero if there is none. */
    private long next(long at) throws BlockException {
        if (at > file.lengthBytes() - BLOCK_BYTES) {
            require(!entries.isEmpty(), "it is not a tar archive");
            return -1;
        }
        byte[] header = file.read(at, BLOCK_BYTES);
        if (isZero(header)) {
            return -1;
        }
        require(sound(header), entries.isEmpty() ? "it is not a tar archive" : "a header of it is damaged");
        long data = at + BLOCK_BYTES;
        char kind = (char) header[KIND];
        boolean extension = kind == 'x' || kind == 'g' || kind == 'L';
        long size = !extension && nextBytes >= 0 ? nextBytes : number(header);
        require(size >= 0 && size <= file.lengthBytes() - data, "a file of it goes past its end");
        switch (kind) {
            case 'x' -> pax(data, size);
            case 'g' -> require(size <= EXTENSION_BYTES_MAX, "a header of it is too long");
            case 'L' -> nextName = text(extension(data, size), 0, (int) size);
            case '0', '\0' -> {
                add(nextName == null ? name(header) : nextName, data, size);
                nextName = null;
                nextBytes = -1;
            }
            default ->
                throw BlockError.of(
                                ErrorKind.INVALID,
                                file.name(),
                                "open",
                                "it holds something that is no file, and an appliance has none but files")
                        .toException();
        }
        return data + (size + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    }

    private void add(String path, long offset, long size) throws BlockException {
        String name = path.startsWith("./") ? path.substring(2) : path;
        require(Neighbours.isName(name), "the name of a file leads out of it");
        require(names.add(name), "two files of it have one name");
        require(entries.size() < FILES_MAX, "it holds more than " + FILES_MAX + " files");
        entries.add(new Entry(name, offset, size));
    }

    private byte[] extension(long at, long size) throws BlockException {
        require(size <= EXTENSION_BYTES_MAX, "a header of it is too long");
        return file.read(at, (int) size);
    }

    /** Records such as {@code 30 path=name}, each with its own length first. */
    private void pax(long at, long size) throws BlockException {
        byte[] records = extension(at, size);
        for (int from = 0; from < records.length; ) {
            int space = from;
            while (space < records.length && records[space] != ' ') {
                space++;
            }
            String digits = new String(records, from, space - from, StandardCharsets.US_ASCII);
            require(digits.matches("[1-9][0-9]{0,5}"), "a header of it is damaged");
            int end = from + Integer.parseInt(digits);
            require(end > space + 1 && end <= records.length, "a header of it is damaged");
            String record = new String(records, space + 1, end - space - 2, StandardCharsets.UTF_8);
            if (record.startsWith("path=")) {
                nextName = record.substring("path=".length());
            } else if (record.startsWith("size=")) {
                String bytes = record.substring("size=".length());
                require(bytes.matches("[0-9]{1,18}"), "a header of it is damaged");
                nextBytes = Long.parseLong(bytes);
            }
            from = end;
        }
    }

    private static String name(byte[] header) {
        String name = text(header, 0, NAME_BYTES);
        String prefix = text(header, MAGIC, 5).equals("ustar") && header[MAGIC + 5] == 0
                ? text(header, PREFIX, PREFIX_BYTES)
                : "";
        return prefix.isEmpty() ? name : prefix + "/" + name;
    }

    private static String text(byte[] bytes, int at, int length) {
        int end = at;
        while (end < at + length && bytes[end] != 0) {
            end++;
        }
        return new String(bytes, at, end - at, StandardCharsets.UTF_8);
    }

    /** In octal, or, of GNU, in binary where the first bit is set. */
    private long number(byte[] header) throws BlockException {
        if ((header[SIZE] & 0x80) != 0) {
            long value = header[SIZE] & 0x7f;
            for (int i = 1; i < SIZE_BYTES; i++) {
                require(value < 1L << 54, "a size in it is out of bounds");
                value = value << 8 | (header[SIZE + i] & 0xff);
            }
            return value;
        }
        return octal(text(header, SIZE, SIZE_BYTES));
    }

    private long octal(String text) throws BlockException {
        String digits = text.strip();
        require(digits.matches("[0-7]{1,12}"), "a header of it is damaged");
        return Long.parseLong(digits, 8);
    }

    private boolean sound(byte[] header) throws BlockException {
        int sum = 0;
        for (int i = 0; i < BLOCK_BYTES; i++) {
            sum += i >= CHECKSUM && i < CHECKSUM + CHECKSUM_BYTES ? ' ' : header[i] & 0xff;
        }
        String said = text(header, CHECKSUM, CHECKSUM_BYTES).strip();
        return said.matches("[0-7]{1,8}") && octal(said) == sum;
    }

    private static boolean isZero(byte[] bytes) {
        for (byte one : bytes) {
            if (one != 0) {
                return false;
            }
        }
        return true;
    }

    private void require(boolean holds, String otherwise) throws BlockException {
        if (!holds) {
            throw BlockError.of(ErrorKind.CORRUPT, file.name(), "open", otherwise)
                    .toException();
        }
    }
}
