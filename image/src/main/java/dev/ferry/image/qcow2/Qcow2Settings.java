package dev.ferry.image.qcow2;

/**
 * How an open qcow2 image behaves.
 *
 * @param mapBytes bound on the memory for parts of L2 tables, in bytes; 8 bytes for each cluster of the disk are all, 20 where its
 *     entries are extended
 * @param keepAllocated zeroes and discards leave room allocated, as a disk that is not thin promises
 * @param blockBytes what the file below takes without having to read around it, which requests should come in
 * @param reserveBytes of the first clusters that are made ready to be handed out; later batches are larger, and what a
 *     crash leaves counted and unused is no more than a batch or two
 */
public record Qcow2Settings(long mapBytes, boolean keepAllocated, int blockBytes, long reserveBytes) {
    private static final long RESERVE_BYTES = 4 << 20;

    /** With a reserve as it is mostly good. */
    public Qcow2Settings(long mapBytes, boolean keepAllocated, int blockBytes) {
        this(mapBytes, keepAllocated, blockBytes, RESERVE_BYTES);
    }

    /** 2 MiB of tables, which describe 16 GiB in clusters of 64 KiB; thin. */
    public static final Qcow2Settings DEFAULT = new Qcow2Settings(2 << 20, false, 1);
}
