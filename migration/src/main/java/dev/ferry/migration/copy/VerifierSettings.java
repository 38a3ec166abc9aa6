package dev.ferry.migration.copy;

import dev.ferry.block.Invariant;

/**
 * How a verifier works.
 *
 * @param depth regions looked at together; each takes two buffers of a region
 * @param differencesMax ranges that are named; there may be more
 */
public record VerifierSettings(int depth, int differencesMax) {
    /** Four regions at once, sixteen ranges. */
    public static final VerifierSettings DEFAULT = new VerifierSettings(4, 16);

    public VerifierSettings {
        Invariant.that(depth >= 1 && depth <= 64, "depth of a verifier");
        Invariant.that(differencesMax >= 1 && differencesMax <= 4096, "ranges that a verifier names");
    }
}
