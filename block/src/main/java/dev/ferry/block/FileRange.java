package dev.ferry.block;

/** Where {@link BlockDevice#locate} found a range: an open file and a position in it. Filled in and used again. */
public final class FileRange {
    private int descriptor = -1;
    private long position;

    /** The file descriptor; stays the property of the device. */
    public int descriptor() {
        return descriptor;
    }

    /** First byte of the range in the file. */
    public long position() {
        return position;
    }

    public void set(int descriptor, long position) {
        this.descriptor = descriptor;
        this.position = position;
    }
}
