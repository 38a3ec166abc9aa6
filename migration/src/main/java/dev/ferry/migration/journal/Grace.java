package dev.ferry.migration.journal;

import org.jspecify.annotations.Nullable;

/**
 * How long the way back stays open.
 *
 * @param millis from the switch on; negative: until somebody commits the move
 * @param untilMillis when it ends, in milliseconds since 1970; null before the switch, and where nothing but a commit ends it
 */
public record Grace(long millis, @Nullable Long untilMillis) {
    /** Open until somebody commits the move. */
    public static final long UNTIL_COMMIT = -1;

    /** The same, begun; one that was begun before ends when it was to end. */
    public Grace from(long nowMillis) {
        return millis < 0 || untilMillis != null ? this : new Grace(millis, nowMillis + millis);
    }

    /** True if it has passed. */
    public boolean over(long nowMillis) {
        return untilMillis != null && nowMillis >= untilMillis;
    }
}
