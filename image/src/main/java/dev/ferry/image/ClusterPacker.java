package dev.ferry.image;

import dev.ferry.block.IoBuffer;

/** Prepares clusters for an {@link ImageWriter}: compresses them. One thread at a time. */
public interface ClusterPacker extends AutoCloseable {
    /** Nothing came out: the cluster is to go into the file as it is. */
    int AS_IT_IS = 0;

    /**
     * Prepares a cluster.
     *
     * @param index which one of the disk
     * @param from holds it, from {@code at} on
     * @param to takes what comes out, from {@code toAt} on, where there is room for {@link ImageWriter#packedBytesMax}
     * @return bytes that came out, or {@link #AS_IT_IS}
     */
    int pack(long index, IoBuffer from, int at, IoBuffer to, int toAt);

    @Override
    void close();
}
