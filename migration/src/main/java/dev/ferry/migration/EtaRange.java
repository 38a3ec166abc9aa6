package dev.ferry.migration;

import org.jspecify.annotations.Nullable;

/**
 * When a move will be at its switch, as far as what was measured tells: copied, and compared if it is to be.
 *
 * @param earliestSeconds from now, if all goes well
 * @param latestSeconds from now, unless something changes
 * @param moved why the range is not within the one that was shown before, the last time that it was not; null if it never
 *     was
 */
public record EtaRange(
        long earliestSeconds, long latestSeconds, @Nullable String moved) {}
