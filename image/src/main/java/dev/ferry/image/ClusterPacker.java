package dev.ferry.image;

/** Prepares clusters for an {@link ImageWriter}: compresses them, or leaves them as they are. One thread at a time. */
public interface ClusterPacker extends AutoCloseable {
    /**
     * Prepares the cluster that begins at {@code from[at]}.
     *
     * @param to takes what comes out, from {@code toAt} on, where there is room for {@link ImageWriter#packedBytesMax}
     * @return bytes that came out
     */
    int pack(byte[] from, int at, byte[] to, int toAt);

    @Override
    void close();
}
