package dev.ferry.migration;

import org.jspecify.annotations.Nullable;

/**
 * Whether the copy catches up with a guest that is followed by iterations.
 *
 * @param converges false if it does not look as if it ever would
 * @param iterations how often the copier has begun at the front of the disk
 * @param dirtyBytesPerSecond what the guest has changed in the last second, counted in regions, each once
 * @param copyBytesPerSecond what the copy makes; 0: not known yet
 * @param leftBytes in regions that are not in step
 * @param downtimeMillis how long the guest would be held if it were now
 * @param downtimeMillisMax how long it may be held
 * @param advice what the matter is and what to do, if it does not converge; null if all is well
 */
public record Convergence(
        boolean converges,
        int iterations,
        long dirtyBytesPerSecond,
        long copyBytesPerSecond,
        long leftBytes,
        double downtimeMillis,
        double downtimeMillisMax,
        @Nullable String advice) {
    /** The same for a move of this id, of which the advice may speak. */
    Convergence of(String id) {
        return advice == null
                ? this
                : new Convergence(
                        converges,
                        iterations,
                        dirtyBytesPerSecond,
                        copyBytesPerSecond,
                        leftBytes,
                        downtimeMillis,
                        downtimeMillisMax,
                        advice.replace("ID", id));
    }
}
