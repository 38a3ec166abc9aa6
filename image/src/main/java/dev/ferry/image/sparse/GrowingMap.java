package dev.ferry.image.sparse;

import dev.ferry.block.Completion;

/**
 * A map that takes new grains at the end of its file. The order that makes it safe: room is made first, all zeroes, and is
 * durable before any of it is used; then the data is written there; then it is written down where the data lies; then the
 * request ends. So a process that dies loses nothing that was acknowledged, and loss of power leaves a grain that is there,
 * or one that reads as zeroes as it did before, whatever was kept of what was not flushed. The disk's loop.
 */
public interface GrowingMap extends GrainMap {
    /** How many grains from this one on, which is known, can be {@link #take taken} side by side; 0: it has to {@link #grow}. */
    int room(long grain);

    /**
     * Takes the place for some grains, which {@link #enter} or {@link #drop} follows for.
     *
     * @return of the first in the file in bytes; the others follow it
     */
    long take(long grain, int count);

    /** Writes down that grains lie where {@link #take} said, and has them known there when that has been written. */
    void enter(long grain, int count, long position, Completion whenWritten);

    /** Nothing was written to what was taken; it stays unused. */
    void drop(long grain);

    /** Makes room for more grains. One at a time. */
    void grow(Completion whenReady);

    /** Brings the file to the state in which it is left; nothing is in flight, and nothing follows. */
    void settle(Completion whenSettled);

    /** Goes on if what came before has gone well. */
    static Completion then(Completion otherwise, Runnable next) {
        return error -> {
            if (error == null) {
                next.run();
            } else {
                otherwise.complete(error);
            }
        };
    }
}
