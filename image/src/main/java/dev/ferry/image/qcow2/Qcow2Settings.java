package dev.ferry.image.qcow2;

/**
 * How an open qcow2 image behaves.
 *
 * @param mapBytes bound on the memory for parts of L2 tables, in bytes; 8 bytes for each cluster of the disk are all
 * @param keepAllocated zeroes and discards leave room allocated, as a disk that is not thin promises
 * @param blockBytes what the file below takes without having to read around it, which requests should come in
 */
public record Qcow2Settings(long mapBytes, boolean keepAllocated, int blockBytes) {
    /** 2 MiB of tables, which describe 16 GiB in clusters of 64 KiB; thin. */
    public static final Qcow2Settings DEFAULT = new Qcow2Settings(2 << 20, false, 1);
}
