package dev.ferry.image.vhd;

import java.util.Optional;

/** The kinds of disks that are made. */
public enum VhdKind {
    /** Blocks are in the file when something was written to them. */
    DYNAMIC("dynamic"),
    /** The bytes as they are, and a footer. */
    FIXED("fixed");

    private final String text;

    VhdKind(String text) {
        this.text = text;
    }

    /** As people write it. */
    public String text() {
        return text;
    }

    public static Optional<VhdKind> of(String text) {
        for (VhdKind kind : values()) {
            if (kind.text.equals(text)) {
                return Optional.of(kind);
            }
        }
        return Optional.empty();
    }
}
