package dev.ferry.image.qcow2;

import org.jspecify.annotations.Nullable;

/**
 * What a new image is to be.
 *
 * @param version 2 or 3
 * @param clusterBits logarithm of the cluster size, 9 to 21
 * @param refcountOrder logarithm of the bits of a refcount, 0 to 6
 * @param backingName name of the backing file, as it is to stand in the image
 * @param backingFormat its format, always said where there is a backing file
 * @param zstd clusters are compressed by zstd, where any are
 * @param mapped L2 tables and clusters for the whole disk are laid out at once, and read as zeroes
 */
public record Qcow2Options(
        int version,
        int clusterBits,
        int refcountOrder,
        @Nullable String backingName,
        @Nullable String backingFormat,
        boolean zstd,
        boolean mapped) {
    /** Version 3, clusters of 64 KiB, refcounts of 16 bits, as QEMU makes them. */
    public static final Qcow2Options DEFAULT = new Qcow2Options(3, 16, 4, null, null, false, false);

    public Qcow2Options withClusterBits(int bits) {
        return new Qcow2Options(version, bits, refcountOrder, backingName, backingFormat, zstd, mapped);
    }

    public Qcow2Options withVersion(int other) {
        return new Qcow2Options(other, clusterBits, refcountOrder, backingName, backingFormat, zstd, mapped);
    }

    public Qcow2Options withRefcountOrder(int order) {
        return new Qcow2Options(version, clusterBits, order, backingName, backingFormat, zstd, mapped);
    }

    public Qcow2Options withBacking(String file, String format) {
        return new Qcow2Options(version, clusterBits, refcountOrder, file, format, zstd, mapped);
    }

    public Qcow2Options withZstd() {
        return new Qcow2Options(version, clusterBits, refcountOrder, backingName, backingFormat, true, mapped);
    }

    public Qcow2Options withMapped() {
        return new Qcow2Options(version, clusterBits, refcountOrder, backingName, backingFormat, zstd, true);
    }
}
