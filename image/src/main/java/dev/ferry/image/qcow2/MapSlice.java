package dev.ferry.image.qcow2;

/**
 * A part of an L2 table in memory: entries as numbers, with what {@link Subclusters} says of each where they are extended. Those from {@code dirtyFrom} to {@code dirtyTo} are not in the
 * file yet, and those from {@code writingFrom} to {@code writingTo} are on their way there. Thread: the disk's loop.
 */
final class MapSlice {
    private static final long[] NO_BITMAPS = {};
    private static final int[] NONE_CLEAN = {};

    final long[] entries;
    /** The second words of extended entries; else empty. */
    final long[] bitmaps;
    /**
     * Of extended entries, the subclusters that are not allocated and whose place in the file is known to read as zeroes, and that
     * to be durable; else empty.
     */
    final int[] clean;

    final Waiter.List waiting = new Waiter.List();
    long index = -1;
    boolean loading;
    boolean used;
    int pins;
    int dirtyFrom;
    int dirtyTo;
    private int writingFrom;
    private int writingTo;

    MapSlice(int entryCount, boolean extended) {
        this.entries = new long[entryCount];
        this.bitmaps = extended ? new long[entryCount] : NO_BITMAPS;
        this.clean = extended ? new int[entryCount] : NONE_CLEAN;
        clean();
    }

    boolean dirty() {
        return dirtyFrom < dirtyTo;
    }

    void clean() {
        dirtyFrom = entries.length;
        dirtyTo = 0;
    }

    void touch(int from, int to) {
        dirtyFrom = Math.min(dirtyFrom, from);
        dirtyTo = Math.max(dirtyTo, to);
    }

    /** What is dirty is being written: it is clean, and in the file when {@link #written} says so. */
    void writing() {
        writingFrom = dirtyFrom;
        writingTo = dirtyTo;
        clean();
    }

    void written() {
        writingFrom = 0;
        writingTo = 0;
    }

    /** The file may not say of all these entries yet what is said here. */
    boolean pending(int from, int to) {
        return (from < dirtyTo && dirtyFrom < to) || (from < writingTo && writingFrom < to);
    }

    boolean evictable() {
        return !loading && pins == 0 && !dirty();
    }
}
