package dev.ferry.image.vmdk;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;

/** The kinds of disks that are written. */
public enum VmdkKind {
    /** One file, which grows with what is in it. */
    MONOLITHIC_SPARSE("monolithicSparse", "SPARSE", 0),
    /** A text, and beside it a file with the bytes as they are. */
    MONOLITHIC_FLAT("monolithicFlat", "FLAT", Long.MAX_VALUE),
    /** A text, and beside it files of less than 2 GiB which grow with what is in them. */
    TWO_GB_SPARSE("twoGbMaxExtentSparse", "SPARSE", VmdkKind.SPLIT_BYTES),
    /** A text, and beside it files of less than 2 GiB with the bytes as they are. */
    TWO_GB_FLAT("twoGbMaxExtentFlat", "FLAT", VmdkKind.SPLIT_BYTES),
    /** As monolithicFlat, as ESX has it in its datastores. */
    VMFS("vmfs", "VMFS", Long.MAX_VALUE),
    /** One file, compressed, to be sent and imported. */
    STREAM_OPTIMIZED("streamOptimized", "SPARSE", 0);

    private static final long SPLIT_BYTES = 4192256L * 512;

    private final String text;
    private final String extent;
    private final long extentBytesMax;

    VmdkKind(String text, String extent, long extentBytesMax) {
        this.text = text;
        this.extent = extent;
        this.extentBytesMax = extentBytesMax;
    }

    /** As descriptors have it. */
    public String text() {
        return text;
    }

    String extent() {
        return extent;
    }

    /** Its data is in files beside the one that names the disk. */
    public boolean apart() {
        return extentBytesMax > 0;
    }

    /** The bytes lie in files as they are. */
    public boolean flat() {
        return !extent.equals("SPARSE");
    }

    /** What a file of it has at most; what is more goes into further ones. */
    public long extentBytesMax() {
        return extentBytesMax;
    }

    /** Deltas are made so: what is not in its files may be what a parent has. */
    public boolean canBeDelta() {
        return this == MONOLITHIC_SPARSE || this == TWO_GB_SPARSE;
    }

    /** All kinds in words. */
    public static String list() {
        return Arrays.stream(values()).map(VmdkKind::text).collect(Collectors.joining(", "));
    }

    /**
     * The files that a disk of this kind has its data in.
     *
     * @param name of the file that names the disk
     */
    public List<VmdkText.Part> parts(String name, long sizeBytes) {
        if (!apart()) {
            return List.of(new VmdkText.Part(name, sizeBytes));
        }
        String stem = name.endsWith(".vmdk") ? name.substring(0, name.length() - ".vmdk".length()) : name;
        List<VmdkText.Part> parts = new ArrayList<>();
        for (long at = 0; at < sizeBytes; at += extentBytesMax) {
            String part = extentBytesMax == Long.MAX_VALUE
                    ? "-flat.vmdk"
                    : String.format(Locale.ROOT, "-%s%03d.vmdk", flat() ? "f" : "s", parts.size() + 1);
            parts.add(new VmdkText.Part(stem + part, Math.min(extentBytesMax, sizeBytes - at)));
            if (extentBytesMax == Long.MAX_VALUE) {
                break;
            }
        }
        return parts;
    }

    public static Optional<VmdkKind> of(String text) {
        for (VmdkKind kind : values()) {
            if (kind.text.equals(text)) {
                return Optional.of(kind);
            }
        }
        return Optional.empty();
    }
}
