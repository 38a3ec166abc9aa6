package dev.ferry.image.sparse;

/** Where the grains of a sparse extent lie in its file. */
public interface GrainMap {
    /** The grain reads as zeroes, or is not there. */
    long NOTHING = -1;

    /** @return its offset in the file in bytes, or {@link #NOTHING} */
    long positionOf(long grain);
}
