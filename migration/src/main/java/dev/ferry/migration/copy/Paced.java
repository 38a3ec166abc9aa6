package dev.ferry.migration.copy;

/** Work beside a guest, how hard it pushes being a dial. Thread: the loop's. */
public interface Paced {
    /**
     * Turns the dial; what was begun is finished as it was.
     *
     * @param depth regions worked on at once, at least 1
     * @param chunkBytes the longest request; a multiple of 64 KiB
     */
    void effort(int depth, int chunkBytes);

    /** Bounds it in bytes a second, besides any bound that the user has set; 0: no bound. */
    void pace(long bytesPerSecond);

    /** Bytes that have been worked on. */
    long workedBytes();
}
