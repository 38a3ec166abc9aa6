package dev.ferry.image;

import dev.ferry.block.BlockException;

/**
 * The bytes of a file as the control plane sees them: calls block. What opens, makes, checks and describes images works
 * on this; the path of a guest's requests never does. One thread at a time.
 */
public interface FileBytes {
    /** What people know the file by. */
    String name();

    long lengthBytes();

    /** Reads; what lies past the end of the file reads as zeroes. */
    void read(long offset, byte[] into, int at, int length) throws BlockException;

    /** Writes; past the end the file grows. */
    void write(long offset, byte[] from, int at, int length) throws BlockException;

    /**
     * Makes the file longer by one write past its end, of no more than 4096 bytes: at each instant it ends where it did, or in
     * those bytes.
     */
    default void extend(long offset, byte[] bytes) throws BlockException {
        write(offset, bytes, 0, bytes.length);
    }

    /** Makes the file longer, by zeroes, or shorter. */
    void resize(long lengthBytes) throws BlockException;

    /** Makes durable what was written. */
    void flush() throws BlockException;

    default byte[] read(long offset, int length) throws BlockException {
        byte[] bytes = new byte[length];
        read(offset, bytes, 0, length);
        return bytes;
    }

    default void write(long offset, byte[] bytes) throws BlockException {
        write(offset, bytes, 0, bytes.length);
    }
}
