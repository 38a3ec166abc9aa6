package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import org.jspecify.annotations.Nullable;

/**
 * What somebody wants of the shape of a new qcow2 image, as it was said: it may be nonsense, which {@link #flaw} names. What is not
 * said is as it usually is. Immutable.
 *
 * @param version 2 or 3; null: 3
 * @param clusterBytes of a cluster: a power of two from 512 to 2 MiB, from 16 KiB where entries are extended; null: 64 KiB, or 128 KiB
 *     where they are
 * @param extendedL2 each cluster is allocated in 32 parts; of version 3 alone
 * @param refcountBits of a refcount: a power of two from 1 to 64, in version 2 always 16; null: 16
 */
public record Qcow2Shape(
        @Nullable Integer version,
        @Nullable Long clusterBytes,
        boolean extendedL2,
        @Nullable Integer refcountBits) {
    /** Nothing was said. */
    public static final Qcow2Shape USUAL = new Qcow2Shape(null, null, false, null);

    private static final int USUAL_REFCOUNT_BITS = 16;

    /** That of an image that there is. */
    public static Qcow2Shape of(Qcow2Description image) {
        return new Qcow2Shape(image.version(), image.clusterBytes(), image.extendedL2(), image.refcountBits());
    }

    /** True if nothing was said, so that it fits a disk in any format. */
    public boolean usual() {
        return equals(USUAL);
    }

    /**
     * Why no image can be of this shape, in words for whoever wanted it.
     *
     * @return null: one can
     */
    public @Nullable String flaw() {
        if (version != null && version != 2 && version != 3) {
            return "qcow2 images have version 2 or 3, not " + version;
        }
        if (clusterBytes != null && !powerOfTwo(clusterBytes, 1L << CLUSTER_BITS_MIN, 1L << CLUSTER_BITS_MAX)) {
            return "a cluster size is a power of two from 512 to 2M, not " + clusterBytes;
        }
        if (refcountBits != null && !powerOfTwo(refcountBits, 1, 1 << REFCOUNT_ORDER_MAX)) {
            return "a refcount has 1, 2, 4, 8, 16, 32 or 64 bits, not " + refcountBits;
        }
        boolean two = version != null && version == 2;
        if (two && refcountBits != null && refcountBits != USUAL_REFCOUNT_BITS) {
            return "a qcow2 image of version 2 has refcounts of 16 bits, not " + refcountBits;
        }
        if (extendedL2 && (two || (clusterBytes != null && clusterBytes < 1L << EXTENDED_CLUSTER_BITS_MIN))) {
            return "extended L2 entries want version 3 and clusters of 16 KiB at least";
        }
        return null;
    }

    /** The same of an image for a disk of so many bytes, which may be too large for small clusters. */
    public @Nullable String flaw(long sizeBytes) {
        String any = flaw();
        if (any != null) {
            return any;
        }
        int bits = options().clusterBits();
        return Qcow2Header.l1EntriesFor(sizeBytes, bits, extendedL2) * Long.BYTES <= L1_BYTES_MAX
                ? null
                : "clusters of " + (1L << bits) + " bytes are too small for a disk of " + sizeBytes + " bytes";
    }

    private static boolean powerOfTwo(long value, long least, long most) {
        return value >= least && value <= most && Long.bitCount(value) == 1;
    }

    /** Of an image that is of this shape and has nothing else that is special; {@link #flaw} has found nothing. */
    public Qcow2Options options() {
        Qcow2Options options = extendedL2 ? Qcow2Options.DEFAULT.withExtendedL2() : Qcow2Options.DEFAULT;
        options = clusterBytes == null ? options : options.withClusterBits(Long.numberOfTrailingZeros(clusterBytes));
        options =
                refcountBits == null ? options : options.withRefcountOrder(Integer.numberOfTrailingZeros(refcountBits));
        return version == null ? options : options.withVersion(version);
    }
}
