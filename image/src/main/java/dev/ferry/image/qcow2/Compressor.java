package dev.ferry.image.qcow2;

import com.github.luben.zstd.Zstd;
import com.github.luben.zstd.ZstdCompressCtx;
import dev.ferry.image.ClusterPacker;
import java.util.zip.Deflater;

/** Compresses clusters for a {@link Qcow2Packer}; a whole cluster, as it is, where that would not make it shorter. */
final class Compressor implements ClusterPacker {
    /** Files as small as QEMU's, which looks back over 4 KiB and not 32 for its matches, in half of its time. */
    private static final int LEVEL = 3;

    private final int clusterBytes;
    private final Deflater deflater = new Deflater(LEVEL, true);
    private final ZstdCompressCtx zstd = new ZstdCompressCtx();
    private final byte[] scratch;
    private final boolean useZstd;

    Compressor(Qcow2Options options) {
        this.clusterBytes = 1 << options.clusterBits();
        this.useZstd = options.zstd();
        this.scratch = new byte[Math.toIntExact(Math.max(clusterBytes, Zstd.compressBound(clusterBytes)))];
    }

    @Override
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
