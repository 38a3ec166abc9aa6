package dev.ferry.image.vhdx;

import java.util.Optional;

/** The kinds of disks that are made. */
public enum VhdxKind {
    /** Blocks are in the file when something was written to them. */
    DYNAMIC("dynamic"),
    /** All blocks are in the file from the beginning. */
    FIXED("fixed");

    private final String text;

    VhdxKind(String text) {
        this.text = text;
    }

    /** As people write it. */
    public String text() {
        return text;
    }

    public static Optional<VhdxKind> of(String text) {
        for (VhdxKind kind : values()) {
            if (kind.text.equals(text)) {
                return Optional.of(kind);
            }
        }
        return Optional.empty();
    }
}
