package dev.ferry.migration.copy;

import java.util.Locale;
import java.util.Optional;

/** When a guest is told that a write is done which both sides are to have. */
public enum Mirroring {
    /** When both sides have it. */
    SYNC,
    /** When the source has it; the target follows in its own time, within bounds. */
    TRAILING;

    /** As people write it. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    public static Optional<Mirroring> of(String text) {
        for (Mirroring one : values()) {
            if (one.text().equals(text)) {
                return Optional.of(one);
            }
        }
        return Optional.empty();
    }
}
