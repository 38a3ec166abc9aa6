package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.VmdkDescriptor.flaw;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.NewNames;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The names of other files in the text that describes a disk, read and changed: those of its extents, and that of its parent. All
 * else of the text stays as it is. Blocking code of the control plane.
 */
public final class VmdkNames {
    private static final Pattern EXTENT = Pattern.compile(
            "(?m)^[ \\t]*(?:RW|RDONLY|NOACCESS)[ \\t]+[0-9]{1,15}[ \\t]+([A-Z]+)[ \\t]+\"([^\"\\r\\n]*)\"");
    private static final Pattern HINT =
            Pattern.compile("(?mi)^[ \\t]*parentFileNameHint[ \\t]*=[ \\t]*\"?([^\"\\r\\n]*?)\"?[ \\t]*\\r?$");
    private static final String RAW_DEVICE = "VMFSRDM";

    private VmdkNames() {}

    /**
     * The files that hold the disk where that is not the first one.
     *
     * @param first the file that the disk is named by
     * @throws BlockException of kind UNSUPPORTED if part of it is on a device of its own
     */
    public static List<String> parts(FileBytes first) throws BlockException {
        if (VmdkSparse.looksLikeOne(first) || !VmdkDescriptor.looksLikeOne(first)) {
            return List.of();
        }
        List<String> names = new ArrayList<>();
        for (VmdkDescriptor.Extent extent : VmdkDescriptor.read(first).extents()) {
            switch (extent.kind()) {
                case FLAT, SPARSE, VMFS_SPARSE, SE_SPARSE -> {
                    if (!names.contains(extent.fileName())) {
                        names.add(extent.fileName());
                    }
                }
                case RAW_DEVICE ->
                    throw flaw(first, ErrorKind.UNSUPPORTED, "a part of it is on a raw device, and not in a file");
                case ZERO -> {}
            }
        }
        return List.copyOf(names);
    }

    /** Changes them; the CID of its parent stays. */
    public static void change(FileBytes first, NewNames names) throws BlockException {
        boolean single = VmdkSparse.looksLikeOne(first);
        VmdkDescriptor descriptor = VmdkImage.descriptor(first);
        if (descriptor == null) {
            return;
        }
        long at = 0;
        long room = first.lengthBytes();
        if (single) {
            VmdkSparse sparse = VmdkSparse.open(first);
            at = sparse.descriptorAt();
            room = sparse.descriptorBytes();
        }
        // The text has been read before, so it is no longer than it may be.
        String all = new String(first.read(at, (int) room), StandardCharsets.ISO_8859_1);
        int end = all.indexOf('\0');
        String text = end < 0 ? all : all.substring(0, end);
        String changed = extents(text, names);
        String below = names.below();
        if (below != null && descriptor.delta()) {
            changed = hint(changed, below);
        }
        if (changed.equals(text)) {
            return;
        }
        if (single && changed.length() > room) {
            throw flaw(first, ErrorKind.UNSUPPORTED, "its descriptor has no room for other names");
        }
        byte[] bytes = changed.getBytes(StandardCharsets.ISO_8859_1);
        if (single || end >= 0) {
            first.write(at, Arrays.copyOf(bytes, Math.max(bytes.length, (int) room)));
        } else {
            first.resize(bytes.length);
            first.write(0, bytes);
        }
        first.flush();
    }

    private static String extents(String text, NewNames names) {
        StringBuilder changed = new StringBuilder();
        int done = 0;
        Matcher line = EXTENT.matcher(text);
        while (line.find()) {
            if (!line.group(1).equals(RAW_DEVICE)) {
                String name = new String(line.group(2).getBytes(StandardCharsets.ISO_8859_1), StandardCharsets.UTF_8);
                changed.append(text, done, line.start(2)).append(latin(names.of(name)));
                done = line.end(2);
            }
        }
        return changed.append(text.substring(done)).toString();
    }

    private static String hint(String text, String name) {
        Matcher line = HINT.matcher(text);
        return line.find() ? text.substring(0, line.start(1)) + latin(name) + text.substring(line.end(1)) : text;
    }

    /** The bytes of a name, one in a letter, as in the text. */
    private static String latin(String name) {
        return new String(name.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
    }
}
