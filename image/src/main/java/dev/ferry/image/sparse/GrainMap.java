package dev.ferry.image.sparse;

import dev.ferry.block.Completion;

/** Where the grains of a sparse extent lie in its file. The disk's loop. */
public interface GrainMap {
    /** The grain is not there: what is below shows through, and zeroes do where nothing is below. */
    long NOTHING = -1;

    /** The grain reads as zeroes, whatever is below. */
    long ZEROES = -2;

    /** What the map says of the grain cannot be. */
    long DAMAGED = -3;

    /** The grain is there, in a way that is not read. */
    long UNREADABLE = -4;

    /** What it takes to answer for this grain is in memory at this moment. */
    boolean knows(long grain);

    /** Gets that into memory; when it ends without an error the grain is known until the loop's next turn. */
    void learn(long grain, Completion whenKnown);

    /** @return the offset of a known grain in the file in bytes, or one of the constants above */
    long positionOf(long grain);
}
