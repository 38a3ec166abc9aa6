package dev.ferry.migration;

import java.util.Locale;
import java.util.Optional;

/** How a disk that is in use gets to its target. */
public enum Strategy {
    /** Changes go to both sides as soon as a region is copied: one pass, and an end that does not hang on the guest. */
    MIRROR,
    /** Changes go to the source alone and are copied again, until so little is left that it is moved while the guest is held. */
    TRACKING,
    /** As tracking, and changes go to an overlay meanwhile: what is copied stands still, round after round. */
    SNAPSHOT;

    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }

    public static Optional<Strategy> of(String text) {
        for (Strategy strategy : values()) {
            if (strategy.text().equals(text)) {
                return Optional.of(strategy);
            }
        }
        return Optional.empty();
    }
}
