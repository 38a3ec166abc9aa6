package dev.ferry.image.qcow2;

/**
 * A part of an L2 table in memory: entries as numbers. Those from {@code dirtyFrom} to {@code dirtyTo} are not in the
 * file yet. Thread: the disk's loop.
 */
final class MapSlice {
    final long[] entries;
    final Waiter.List waiting = new Waiter.List();
    long index = -1;
    boolean loading;
    boolean used;
    int pins;
    int dirtyFrom;
    int dirtyTo;

    MapSlice(int entryCount) {
        this.entries = new long[entryCount];
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

    boolean evictable() {
        return !loading && pins == 0 && !dirty();
    }
}
