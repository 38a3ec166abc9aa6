package dev.ferry.image;

import java.util.Arrays;

/** A file that keeps nothing but its length: whoever makes an image in it learns how long that gets. One thread at a time. */
public final class MeasuredBytes implements FileBytes {
    private final String name;
    private long lengthBytes;

    /** @param name what errors call it */
    public MeasuredBytes(String name) {
        this.name = name;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long lengthBytes() {
        return lengthBytes;
    }

    @Override
    public void read(long offset, byte[] into, int at, int length) {
        Arrays.fill(into, at, at + length, (byte) 0);
    }

    @Override
    public void write(long offset, byte[] from, int at, int length) {
        lengthBytes = Math.max(lengthBytes, offset + length);
    }

    @Override
    public void resize(long newLengthBytes) {
        lengthBytes = newLengthBytes;
    }

    @Override
    public void flush() {}
}
