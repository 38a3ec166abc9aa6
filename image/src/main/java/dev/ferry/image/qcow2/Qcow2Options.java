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
 * @param mapped L2 tables and clusters for the whole disk are laid out at once, and read as zeroes; over a backing file, which needs
 *     extended L2 entries, as that does
 * @param extendedL2 each cluster is allocated in 32 parts
 * @param dataName name of the file that its data is to be in, as it is to stand in the image; null: in the image itself
 * @param dataRaw that file is what the guest sees, byte by byte; the disk is mapped then
 */
public record Qcow2Options(
        int version,
        int clusterBits,
        int refcountOrder,
        @Nullable String backingName,
        @Nullable String backingFormat,
        boolean zstd,
        boolean mapped,
        boolean extendedL2,
        @Nullable String dataName,
        boolean dataRaw) {
    /** Version 3, clusters of 64 KiB, refcounts of 16 bits, as QEMU makes them. */
    public static final Qcow2Options DEFAULT = new Qcow2Options(3, 16, 4, null, null, false, false, false, null, false);

    /** Of images with extended L2 entries: 128 KiB, so that what is allocated at once is the 4 KiB that guests mostly write. */
    public static final int EXTENDED_CLUSTER_BITS = 17;

    public Qcow2Options withClusterBits(int bits) {
        return new Qcow2Options(
                version, bits, refcountOrder, backingName, backingFormat, zstd, mapped, extendedL2, dataName, dataRaw);
    }

    public Qcow2Options withVersion(int other) {
        return new Qcow2Options(
                other,
                clusterBits,
                refcountOrder,
                backingName,
                backingFormat,
                zstd,
                mapped,
                extendedL2,
                dataName,
                dataRaw);
    }

    public Qcow2Options withRefcountOrder(int order) {
        return new Qcow2Options(
                version, clusterBits, order, backingName, backingFormat, zstd, mapped, extendedL2, dataName, dataRaw);
    }

    public Qcow2Options withBacking(String file, String format) {
        return new Qcow2Options(
                version, clusterBits, refcountOrder, file, format, zstd, mapped, extendedL2, dataName, dataRaw);
    }

    public Qcow2Options withZstd() {
        return new Qcow2Options(
                version,
                clusterBits,
                refcountOrder,
                backingName,
                backingFormat,
                true,
                mapped,
                extendedL2,
                dataName,
                dataRaw);
    }

    public Qcow2Options withMapped() {
        return new Qcow2Options(
                version,
                clusterBits,
                refcountOrder,
                backingName,
                backingFormat,
                zstd,
                true,
                extendedL2,
                dataName,
                dataRaw);
    }

    /** With extended L2 entries, and the clusters that are usual then. */
    public Qcow2Options withExtendedL2() {
        return new Qcow2Options(
                version,
                EXTENDED_CLUSTER_BITS,
                refcountOrder,
                backingName,
                backingFormat,
                zstd,
                mapped,
                true,
                dataName,
                dataRaw);
    }

    /** With its data in another file, which is as long as the disk and all zeroes when the image is made. */
    public Qcow2Options withData(String file, boolean raw) {
        return new Qcow2Options(
                version,
                clusterBits,
                refcountOrder,
                backingName,
                backingFormat,
                zstd,
                mapped || raw,
                extendedL2,
                file,
                raw);
    }
}
