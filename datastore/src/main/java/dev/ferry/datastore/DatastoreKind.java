package dev.ferry.datastore;

import java.util.Locale;
import java.util.Optional;

/** The kinds of place that a datastore can be. */
public enum DatastoreKind {
    /** A directory of a mounted file system. */
    DIR;

    /** The kind as people write it, such as {@code dir}. */
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    public static Optional<DatastoreKind> of(String text) {
        for (DatastoreKind kind : values()) {
            if (kind.text().equals(text)) {
                return Optional.of(kind);
            }
        }
        return Optional.empty();
    }
}
