package dev.ferry.image.qcow2;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdCompressCtx;
import java.util.zip.Deflater;

/** Compresses clusters for a {@link Qcow2Packer}. One thread at a time; each thread that compresses has its own. */
public final class ClusterPacker implements AutoCloseable {
    private final int clusterBytes;
    private final Deflater deflater = new Deflater(Deflater.DEFAULT_COMPRESSION, true);
    private final ZstdCompressCtx zstd = new ZstdCompressCtx();
    private final byte[] scratch;
    private final boolean useZstd;

    public ClusterPacker(Qcow2Options options) {
        this.clusterBytes = 1 << options.clusterBits();
        this.useZstd = options.zstd();
        this.scratch = new byte[Math.toIntExact(Math.max(clusterBytes, Zstd.compressBound(clusterBytes)))];
    }

    /**
     * Compresses the cluster that begins at {@code from[at]}.
     *
     * @param to takes what comes out, from {@code toAt} on, where there is room for a cluster
     * @return bytes that came out; a whole cluster, as it is, where compressing would not make it shorter
     */
    public int pack(byte[] from, int at, byte[] to, int toAt) {
        int bytes = useZstd
                ? zstd.compressByteArray(scratch, 0, scratch.length, from, at, clusterBytes)
                : deflate(from, at);
        boolean shorter = bytes < clusterBytes;
        System.arraycopy(shorter ? scratch : from, shorter ? 0 : at, to, toAt, shorter ? bytes : clusterBytes);
        return shorter ? bytes : clusterBytes;
    }

    private int deflate(byte[] from, int at) {
        deflater.reset();
        deflater.setInput(from, at, clusterBytes);
        deflater.finish();
        int bytes = deflater.deflate(scratch, 0, clusterBytes);
        return deflater.finished() ? bytes : clusterBytes;
    }

    @Override
    public void close() {
        deflater.close();
        zstd.close();
    }
}
