package dev.ferry.image.sparse;

import dev.ferry.block.Completion;

/**
 * A map that takes new grains at the end of its file. The order that makes it safe: room is made first, all zeroes, and is
 * durable before any of it is used; then it is written down that the grain lies there, which reads as zeroes as it did
 * before; then the data is written; then the request ends. So a process that dies loses nothing that was acknowledged, and of
 * what loss of power takes nothing shows but that it is not there. No data is ever where no entry says so, which another
 * program might give to another grain. The disk's loop.
 *
 * <p>Where a parent shows through, a grain that is not there does not read as zeroes, and its data goes first: room, data, both
 * durable, then the entry. What a crash leaves in a place without an entry is zeroes or that data, and the place is behind all
 * others.
 */
public interface GrowingMap extends GrainMap {
    /** How many grains from this one on, which is known, can be {@link #take taken} side by side; 0: it has to {@link #grow}. */
    int room(long grain);

    /**
     * Takes the place for some grains, which {@link #enter} follows for.
     *
     * @return of the first in the file in bytes; the others follow it
     */
    long take(long grain, int count);

    /** Writes down that grains lie where {@link #take} said, and has them known there when that has been written. */
    void enter(long grain, int count, long position, Completion whenWritten);

    /** How many grains from this one on, which is known and not there, are known not to be there, at least. */
    default long nothingFrom(long grain) {
        return 1;
    }

    /** What was taken for some grains is not entered. */
    default void giveUp(long grain, int count) {}

    /**
     * How many grains from this one on, which is known and not there, can be said to be zeroes by one change of the map; 0: they
     * need a place for that.
     *
     * @param count how many are wanted
     */
    default int zeroable(long grain, long count) {
        return 0;
    }

    /** Writes down that as many grains as {@link #zeroable} said are zeroes, whatever is below. */
    default void enterZeroes(long grain, int count, Completion whenWritten) {
        throw new UnsupportedOperationException();
    }

    /** Makes room for this grain, which is known, and for more. One at a time. */
    void grow(long grain, Completion whenReady);

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
