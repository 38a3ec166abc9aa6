package dev.ferry.migration.copy;

import dev.ferry.block.Invariant;

/**
 * How hard a copier pushes at most.
 *
 * @param depth regions copied at once; each takes a buffer of {@code chunkBytes}
 * @param chunkBytes the longest read or write; a multiple of 64 KiB
 * @param bytesPerSecond bound on what is read from the source; 0: none. It can be changed while the copier runs
 * @param farDepth regions copied at once to a target that is far away, as its latency and its rate ask for ({@link
 *     FarDepth}); {@code depth}: no more than to any other
 */
public record CopierSettings(int depth, int chunkBytes, long bytesPerSecond, int farDepth) {
    /** Four requests of 1 MiB at once: for nobody but an idle guest, which is what {@link PaceController} is for. */
    public static final CopierSettings DEFAULT = new CopierSettings(4, 1 << 20, 0);

    /** For targets of which none is far. */
    public CopierSettings(int depth, int chunkBytes, long bytesPerSecond) {
        this(depth, chunkBytes, bytesPerSecond, depth);
    }

    public CopierSettings {
        Invariant.that(depth >= 1 && depth <= 64, "depth of a copier");
        Invariant.that(farDepth >= depth && farDepth <= 64, "depth of a copier to a far target");
        Invariant.that(chunkBytes >= 64 << 10 && chunkBytes % (64 << 10) == 0, "chunk of a copier");
        Invariant.that(bytesPerSecond >= 0, "rate of a copier");
    }

    /** The same, with up to so many regions under way to a target that is far. */
    public CopierSettings upTo(int regions) {
        return new CopierSettings(depth, chunkBytes, bytesPerSecond, regions);
    }
}
