package dev.ferry.image;

import dev.ferry.block.BlockException;
import org.jspecify.annotations.Nullable;

/**
 * Writes a new image from its first cluster to its last, in one pass: says where in the file each cluster goes, and writes
 * what leads to them. The clusters themselves are written by whoever asks, at any time before the end.
 *
 * <p>Blocking code of the control plane, one thread at a time; what {@link #packer} gives is for others, so that all cores
 * prepare clusters and write them.
 */
public interface ImageWriter {
    /** The unit in which the disk is given; the last one is filled up with zeroes. */
    int clusterBytes();

    /** What room a packer needs for a cluster. */
    int packedBytesMax();

    /** Prepares clusters, on any one thread; null: they go into the file as they are. */
    @Nullable
    ClusterPacker packer();

    /** The next clusters read as zeroes. */
    void zeroes(long count) throws BlockException;

    /**
     * Where in the file the next cluster goes.
     *
     * @param length of what goes there: what a packer made of it, or {@link #clusterBytes} as they are
     */
    long place(int length) throws BlockException;

    /** Writes what is left, and makes it an image. All clusters have been given, and what has a place is there. */
    void finish() throws BlockException;
}
