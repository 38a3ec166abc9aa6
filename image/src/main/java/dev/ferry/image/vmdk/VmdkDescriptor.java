package dev.ferry.image.vmdk;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Neighbours;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The text that describes a disk: what kind it is, and of which extents it is made.
 *
 * <pre>
 *   # Disk DescriptorFile
 *   version=1
 *   CID=…                   of the content; changes when somebody has written to the disk
 *   parentCID=…             the CID that the parent had when this delta was made; ffffffff: it has no parent
 *   createType="…"
 *   parentFileNameHint="…"  where the parent was
 *   RW 4192256 SPARSE "disk-s001.vmdk"       access, sectors, kind, file name, [first sector of the file]
 * </pre>
 *
 * A file name is a name in the descriptor's own directory, and never a path; of the parent's path the last part counts.
 *
 * @param contentId 32 bits
 * @param parentId 32 bits
 * @param parentHint as it stands there, a claim; empty where there is none
 */
public record VmdkDescriptor(
        String createType, long contentId, long parentId, String parentHint, List<Extent> extents) {
    static final String BEGINNING = "# Disk DescriptorFile";
    private static final int TEXT_BYTES_MAX = 1 << 20;
    private static final int EXTENTS_MAX = 4096;
    private static final long SECTORS_MAX = 1L << 46;
    private static final long NO_PARENT = 0xffff_ffffL;
    private static final Pattern ID = Pattern.compile("[0-9A-Fa-f]{1,8}");
    private static final Pattern EXTENT = Pattern.compile(
            "(RW|RDONLY|NOACCESS)\\s+([0-9]{1,15})\\s+([A-Z]+)(?:\\s+\"([^\"]*)\"(?:\\s+([0-9]{1,15}))?.*)?");
    private static final Pattern FIELD = Pattern.compile("([A-Za-z.]+)\\s*=\\s*\"?([^\"]*?)\"?");

    private static final Pattern ID_LINE =
            Pattern.compile("(?m)^[ \\t]*CID[ \\t]*=[ \\t]*([0-9A-Fa-f]{1,8})[ \\t]*\\r?$");

    /** A number in a text, as it stands there: programs leave leading zeroes out. */
    record Digits(int at, String text) {
        /** Another number, in as many digits. */
        String other(int number) {
            long mask = (1L << (4 * text.length())) - 1;
            long wanted = number & mask;
            boolean taken = wanted == Long.parseLong(text, 16) || wanted == NO_PARENT;
            return String.format(Locale.ROOT, "%0" + text.length() + "x", taken ? wanted ^ 1 : wanted);
        }
    }

    /** How an extent lies in its file. */
    public enum Kind {
        FLAT,
        SPARSE,
        VMFS_SPARSE,
        SE_SPARSE,
        /** A map of a device of its own; its file says nothing that is of use elsewhere. */
        RAW_DEVICE,
        ZERO
    }

    /**
     * A part of the disk.
     *
     * @param fileName in the directory of the descriptor; empty where there is none
     * @param fromSector where it begins in the file
     */
    public record Extent(Kind kind, long sectors, String fileName, long fromSector) {}

    public VmdkDescriptor {
        extents = List.copyOf(extents);
    }

    /** It says of some grains only what they hold; the others are its parent's. */
    public boolean delta() {
        return parentId != NO_PARENT;
    }

    /** True if a file is such a text. */
    public static boolean looksLikeOne(FileBytes file) throws BlockException {
        byte[] first = file.read(0, BEGINNING.length());
        return new String(first, StandardCharsets.ISO_8859_1).equalsIgnoreCase(BEGINNING);
    }

    /** Reads a file that holds nothing but the text. */
    public static VmdkDescriptor read(FileBytes file) throws BlockException {
        return read(file, 0, file.lengthBytes());
    }

    static VmdkDescriptor read(FileBytes file, long offset, long bytes) throws BlockException {
        if (bytes > TEXT_BYTES_MAX) {
            throw flaw(file, ErrorKind.CORRUPT, "its descriptor is longer than 1 MiB");
        }
        String text = new String(file.read(offset, (int) bytes), StandardCharsets.UTF_8);
        int end = text.indexOf('\0');
        return parse(file, end < 0 ? text : text.substring(0, end));
    }

    private static VmdkDescriptor parse(FileBytes file, String text) throws BlockException {
        String createType = "";
        long contentId = NO_PARENT;
        long parentId = NO_PARENT;
        String parentHint = "";
        List<Extent> extents = new ArrayList<>();
        for (String raw : text.split("\\R", -1)) {
            String line = raw.strip();
            Matcher extent = EXTENT.matcher(line);
            Matcher field = FIELD.matcher(line);
            if (line.startsWith("#")) {
                continue;
            }
            if (extent.matches()) {
                extents.add(extent(file, extent));
                if (extents.size() > EXTENTS_MAX) {
                    throw flaw(file, ErrorKind.CORRUPT, "it has more than " + EXTENTS_MAX + " extents");
                }
            } else if (field.matches()) {
                String value = field.group(2);
                switch (field.group(1).toLowerCase(Locale.ROOT)) {
                    case "createtype" -> createType = value;
                    case "cid" -> contentId = id(file, value);
                    case "parentcid" -> parentId = id(file, value);
                    case "parentfilenamehint" -> parentHint = value;
                    default -> {}
                }
            }
        }
        if (extents.isEmpty()) {
            throw flaw(file, ErrorKind.CORRUPT, "its descriptor names no extent");
        }
        if (extents.stream().mapToLong(Extent::sectors).sum() > SECTORS_MAX) {
            throw flaw(file, ErrorKind.CORRUPT, "its extents have more sectors together than a disk can have");
        }
        return new VmdkDescriptor(createType, contentId, parentId, parentHint, extents);
    }

    private static long id(FileBytes file, String value) throws BlockException {
        if (!ID.matcher(value).matches()) {
            throw flaw(file, ErrorKind.CORRUPT, "a content ID of it is no number");
        }
        return Long.parseLong(value, 16);
    }

    private static Extent extent(FileBytes file, Matcher line) throws BlockException {
        long sectors = Long.parseLong(line.group(2));
        if (sectors == 0 || sectors > SECTORS_MAX) {
            throw flaw(file, ErrorKind.CORRUPT, "an extent has " + sectors + " sectors");
        }
        Kind kind = switch (line.group(3)) {
            case "FLAT", "VMFS" -> Kind.FLAT;
            case "SPARSE" -> Kind.SPARSE;
            case "VMFSSPARSE" -> Kind.VMFS_SPARSE;
            case "SESPARSE" -> Kind.SE_SPARSE;
            case "VMFSRDM" -> Kind.RAW_DEVICE;
            case "ZERO" -> Kind.ZERO;
            default ->
                throw flaw(
                        file,
                        ErrorKind.UNSUPPORTED,
                        "it has an extent of kind " + line.group(3)
                                + "; FLAT, SPARSE, VMFS, VMFSSPARSE, SESPARSE, VMFSRDM and ZERO are read");
        };
        String name = line.group(4) == null ? "" : line.group(4);
        if (kind != Kind.ZERO && !Neighbours.isName(name)) {
            throw flaw(file, ErrorKind.INVALID, "an extent's file is not beside the descriptor");
        }
        return new Extent(kind, sectors, name, line.group(5) == null ? 0 : Long.parseLong(line.group(5)));
    }

    /**
     * Finds the content ID in a text.
     *
     * @return where its digits are; null if there are none
     */
    static @Nullable Digits contentIdAt(byte[] text) {
        String words = new String(text, StandardCharsets.ISO_8859_1);
        int end = words.indexOf('\0');
        Matcher line = ID_LINE.matcher(end < 0 ? words : words.substring(0, end));
        return line.find() ? new Digits(line.start(1), line.group(1)) : null;
    }

    private static final Pattern EXTENT_SECTORS =
            Pattern.compile("(?m)^[ \\t]*(?:RW|RDONLY|NOACCESS)[ \\t]+([0-9]{1,15})[ \\t]+[A-Z]+");

    /**
     * A text with another size of its one extent and another content ID. Numbers that get longer take room from a comment before
     * them, and those that get shorter leave blanks, so that all else stays where it is, if that is possible.
     */
    static byte[] resized(byte[] text, long sizeBytes, int contentId) {
        String words = new String(text, StandardCharsets.ISO_8859_1);
        Matcher line = EXTENT_SECTORS.matcher(words);
        Digits id = contentIdAt(text);
        if (!line.find() || id == null) {
            return text;
        }
        words = words.substring(0, id.at())
                + id.other(contentId)
                + words.substring(id.at() + id.text().length());
        String digits = String.valueOf(sizeBytes / 512);
        int more = digits.length() - line.group(1).length();
        String before = words.substring(0, line.start(1));
        int comment = before.lastIndexOf("\n#");
        int endOfComment = comment < 0 ? -1 : before.indexOf('\n', comment + 1);
        if (more > 0 && endOfComment - comment - 2 >= more) {
            before = before.substring(0, endOfComment - more) + before.substring(endOfComment);
        }
        String changed = before + " ".repeat(Math.max(0, -more)) + digits + words.substring(line.end(1));
        return Arrays.copyOf(changed.getBytes(StandardCharsets.ISO_8859_1), text.length);
    }

    /**
     * A text with other extents and another content ID: those that are there already stay as they are written but for their size and
     * their name, those that are too many go, and more follow the last. All else stays.
     */
    static byte[] withExtents(byte[] text, List<Extent> extents, int contentId) {
        String all = new String(text, StandardCharsets.ISO_8859_1);
        int end = all.indexOf('\0');
        String words = end < 0 ? all : all.substring(0, end);
        Digits id = contentIdAt(text);
        if (id != null) {
            words = words.substring(0, id.at())
                    + id.other(contentId)
                    + words.substring(id.at() + id.text().length());
        }
        StringBuilder changed = new StringBuilder();
        int next = 0;
        int behindLast = 0;
        String last = "";
        for (String line : words.split("(?<=\n)", -1)) {
            Matcher extent = EXTENT.matcher(line.strip());
            if (!line.strip().startsWith("#") && extent.matches()) {
                last = line;
                if (next < extents.size()) {
                    changed.append(line(line, extent, extents.get(next)));
                    next++;
                }
                behindLast = changed.length();
            } else {
                changed.append(line);
            }
        }
        Matcher pattern = EXTENT.matcher(last.strip());
        for (int i = next; i < extents.size() && pattern.matches(); i++) {
            String line = line(last, pattern, extents.get(i));
            changed.insert(behindLast, line);
            behindLast += line.length();
        }
        return changed.toString().getBytes(StandardCharsets.ISO_8859_1);
    }

    /** A line for an extent of the same kind as another, whose line this was. */
    private static String line(String line, Matcher was, Extent extent) {
        String name = new String(extent.fileName().getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
        String from = was.group(5) == null ? "" : " " + was.group(5);
        String ends = line.endsWith("\r\n") ? "\r\n" : "\n";
        return was.group(1) + " " + extent.sectors() + " " + was.group(3) + " \"" + name + "\"" + from + ends;
    }

    static BlockException flaw(FileBytes file, ErrorKind kind, String detail) {
        return BlockError.of(kind, file.name(), "open", detail).toException();
    }
}
