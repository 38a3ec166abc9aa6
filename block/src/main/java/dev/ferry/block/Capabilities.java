package dev.ferry.block;

/**
 * What a device can do by itself. {@link CheckedDevice} makes up for what it can't: FUA by a flush, zeroes by writing
 * them, discard by doing nothing only where that is honest (never: it zeroes), extents by calling everything data.
 *
 * @param readOnly it takes no changes
 * @param fua it honours {@link RequestFlags#FUA} itself
 * @param zero it has zeroes of its own (it may still write them)
 * @param fastZero its zeroes are faster than writing them
 * @param discard it gives space back
 * @param extents it tells holes from data
 * @param rotational seeks cost
 */
public record Capabilities(
        boolean readOnly,
        boolean fua,
        boolean zero,
        boolean fastZero,
        boolean discard,
        boolean extents,
        boolean rotational) {
    /** A device that does everything itself. */
    public static final Capabilities ALL = new Capabilities(false, true, true, true, true, true, false);
}
