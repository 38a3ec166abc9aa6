package dev.ferry.image;

import dev.ferry.block.BlockException;
import org.jspecify.annotations.Nullable;

/** Writes a raw disk in one pass: each cluster where the disk has it, and holes for zeroes. Used once. */
public final class RawWriter implements ImageWriter {
    /** Shorter holes save little, and cut a file in pieces. */
    private static final int CLUSTER_BYTES = 64 << 10;

    private final FileBytes file;
    private final long sizeBytes;
    private long next;

    /** Begins a disk; what the file held is lost. */
    public RawWriter(FileBytes file, long sizeBytes) throws BlockException {
        this.file = file;
        this.sizeBytes = sizeBytes;
        file.resize(0);
    }

    @Override
    public int clusterBytes() {
        return CLUSTER_BYTES;
    }

    @Override
    public int packedBytesMax() {
        return CLUSTER_BYTES;
    }

    @Override
    public @Nullable ClusterPacker packer() {
        return null;
    }

    @Override
    public void zeroes(long count) {
        next += count;
    }

    @Override
    public long place(int length) {
        return next++ * CLUSTER_BYTES;
    }

    /** The last cluster may have been longer than what is left of the disk. */
    @Override
    public void finish() throws BlockException {
        file.resize(sizeBytes);
        file.flush();
    }
}
