package dev.ferry.image;

import dev.ferry.block.BlockException;
import dev.ferry.block.IoBuffer;

/**
 * How a file is to be seen with some of its bytes replaced, and perhaps of another length; the file itself stays as it is. Once it is
 * made it does not change. Thread: one at a time.
 */
public interface FilePatch {
    /** What lies at a place. */
    enum Part {
        /** What the file has there, apart from single bytes that {@link #put} replaces; past its end, zeroes. */
        KEPT,
        /** Zeroes, whatever the file has there. */
        FREE,
        /** Bytes that are none of the file's. */
        MADE
    }

    /** The length of what is seen, in bytes. */
    long lengthBytes();

    /** @param offset in bytes, before {@link #lengthBytes} */
    Part part(long offset);

    /** Where what lies at a place ends, or a limit before that; in bytes, past {@code offset}. */
    long partEnd(long offset, long limit);

    /**
     * Puts what is replaced in a range over what was read of the file.
     *
     * @param offset of the range, in bytes
     * @param at where in the buffer the range begins; what is past the end of the file is zeroes there
     * @throws BlockException if what belongs there cannot be made
     */
    void put(long offset, int length, IoBuffer buffer, int at) throws BlockException;
}
