package dev.ferry.image.qcow2;

import com.github.luben.zstd.ZstdCompressCtx;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.ClusterPacker;
import java.nio.ByteBuffer;
import java.util.zip.Deflater;

/** Compresses clusters for a {@link Qcow2Writer}; says that one is to stay as it is where that would not make it shorter. */
final class Compressor implements ClusterPacker {
    /** Files as small as QEMU's, which looks back over 4 KiB and not 32 for its matches, in half of its time. */
    private static final int LEVEL = 3;

    private final int clusterBytes;
    private final int roomBytes;
    private final Deflater deflater = new Deflater(LEVEL, true);
    private final ZstdCompressCtx zstd = new ZstdCompressCtx();
    private final boolean useZstd;

    /** @param roomBytes what zstd may need for a cluster, which it is faster with */
    Compressor(Qcow2Options options, int roomBytes) {
        this.clusterBytes = 1 << options.clusterBits();
        this.roomBytes = roomBytes;
        this.useZstd = options.zstd();
    }

    @Override
    public int pack(long index, IoBuffer from, int at, IoBuffer to, int toAt) {
        int bytes = useZstd
                ? zstd.compressDirectByteBuffer(bytes(to), toAt, roomBytes, bytes(from), at, clusterBytes)
                : deflate(from, at, to, toAt);
        return bytes < clusterBytes ? bytes : AS_IT_IS;
    }

    private static ByteBuffer bytes(IoBuffer buffer) {
        return buffer.segment().asByteBuffer();
    }

    private int deflate(IoBuffer from, int at, IoBuffer to, int toAt) {
        deflater.reset();
        deflater.setInput(bytes(from).slice(at, clusterBytes));
        deflater.finish();
        int bytes = deflater.deflate(bytes(to).slice(toAt, clusterBytes));
        return deflater.finished() ? bytes : clusterBytes;
    }

    @Override
    public void close() {
        deflater.close();
        zstd.close();
    }
}
