package dev.ferry.image.vmdk;

import java.util.Optional;

/** The kinds of disks that are written. */
public enum VmdkKind {
    /** One file, which grows with what is in it. */
    MONOLITHIC_SPARSE("monolithicSparse", "SPARSE"),
    /** A text, and beside it a file with the bytes as they are. */
    MONOLITHIC_FLAT("monolithicFlat", "FLAT"),
    /** One file, compressed, to be sent and imported. */
    STREAM_OPTIMIZED("streamOptimized", "SPARSE");

    private final String text;
    private final String extent;

    VmdkKind(String text, String extent) {
        this.text = text;
        this.extent = extent;
    }

    /** As descriptors have it. */
    public String text() {
        return text;
    }

    String extent() {
        return extent;
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
