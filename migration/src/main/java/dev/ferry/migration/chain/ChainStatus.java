package dev.ferry.migration.chain;

import org.jspecify.annotations.Nullable;

/**
 * How a job comes along.
 *
 * @param disk what it is about
 * @param kind {@code commit} or {@code stream}
 * @param base commit: the file that gets all; streaming: the one that stays below; null if none does
 * @param state {@code running}, {@code done}, {@code failed} or {@code cancelled}
 * @param doneBytes of {@code totalBytes}, dealt with
 * @param rateBytesPerSecond the bound; 0: none
 * @param secondsLeft null where nobody knows
 * @param problem why it failed
 */
public record ChainStatus(
        String disk,
        String kind,
        @Nullable String base,
        String state,
        long doneBytes,
        long totalBytes,
        long rateBytesPerSecond,
        long speedBytesPerSecond,
        @Nullable Long secondsLeft,
        @Nullable String problem) {
    public boolean over() {
        return !state.equals("running");
    }
}
