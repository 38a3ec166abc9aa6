package dev.ferry.block;

/** Takes the answer to {@link BlockDevice#extents}. */
@FunctionalInterface
public interface ExtentSink {
    /** Nothing is allocated here; what is read comes from elsewhere, or is zeroes. */
    int HOLE = 1;

    /** It reads as zeroes. */
    int ZERO = 2;

    /**
     * @param offset where the extent begins, in bytes
     * @param length its length in bytes, above 0
     * @param state bits {@link #HOLE} and {@link #ZERO}; 0: data
     */
    void extent(long offset, long length, int state);
}
