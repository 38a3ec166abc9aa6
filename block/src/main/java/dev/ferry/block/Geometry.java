package dev.ferry.block;

/**
 * The shape of a device.
 *
 * @param sizeBytes its size; not always a multiple of the block size
 * @param blockSizeBytes the unit in which offsets and lengths must come, a power of two from 1 to 65536; 1: any
 * @param preferredBytes the unit in which requests are cheapest, a power of two
 * @param maxTransferBytes the longest read or write taken at once, a multiple of the block size
 */
public record Geometry(long sizeBytes, int blockSizeBytes, int preferredBytes, int maxTransferBytes) {
    /** The longest read or write that Ferry moves in one request: 32 MiB, as in the NBD specification. */
    public static final int MAX_TRANSFER_BYTES = 32 << 20;

    public Geometry {
        Invariant.that(sizeBytes >= 0, "size below zero");
        Invariant.that(Integer.bitCount(blockSizeBytes) == 1 && blockSizeBytes <= 65536, "block size");
        Invariant.that(Integer.bitCount(preferredBytes) == 1, "preferred size");
        Invariant.that(maxTransferBytes > 0 && maxTransferBytes % blockSizeBytes == 0, "maximum transfer");
    }

    public static Geometry ofBytes(long sizeBytes) {
        return new Geometry(sizeBytes, 1, 4096, MAX_TRANSFER_BYTES);
    }
}
