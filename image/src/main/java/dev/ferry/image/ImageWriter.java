package dev.ferry.image;

import dev.ferry.block.BlockException;

/**
 * Writes a new image from its first cluster to its last, in one pass. Blocking code of the control plane, one thread; what
 * {@link #packer} gives is for others, so that all cores prepare clusters and one writes them.
 */
public interface ImageWriter {
    /** The unit in which the disk is given; the last one is filled up with zeroes. */
    int clusterBytes();

    /** What a cluster may come to when it is prepared. */
    int packedBytesMax();

    /** Prepares clusters, on any one thread. */
    ClusterPacker packer();

    /** The next clusters read as zeroes. */
    void zeroes(long count) throws BlockException;

    /** The next cluster, as a packer gave it. */
    void cluster(byte[] bytes, int at, int length) throws BlockException;

    /** Writes what is left, and makes it an image. All clusters have been given. */
    void finish() throws BlockException;
}
