package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;

/** A part of a disk that lies in a file as it is, from some place on. It takes changes if it is told to, and the file does. */
public final class FlatExtent implements BlockDevice {
    private final String name;
    private final BlockDevice file;
    private final long from;
    private final Geometry geometry;
    private final Capabilities capabilities;

    /**
     * One that takes no changes.
     *
     * @param file one that takes any offset and length
     * @param from where it begins in the file; whoever makes this has seen that it ends there too
     */
    public FlatExtent(String name, BlockDevice file, long from, long sizeBytes) {
        this(name, file, from, sizeBytes, true);
    }

    /** One that takes changes if the file does. */
    public static FlatExtent writable(String name, BlockDevice file, long from, long sizeBytes) {
        return new FlatExtent(name, file, from, sizeBytes, false);
    }

    private FlatExtent(String name, BlockDevice file, long from, long sizeBytes, boolean readOnly) {
        this.name = name;
        this.file = file;
        this.from = from;
        this.geometry = Geometry.ofBytes(sizeBytes);
        Capabilities below = file.capabilities();
        this.capabilities = new Capabilities(
                readOnly || below.readOnly(), false, true, below.fastZero(), true, true, below.rotational());
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return capabilities;
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        file.write(from + offset, buffer, at, length, flags, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        file.writeZeroes(from + offset, length, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        file.discard(from + offset, length, flags, completion);
    }

    @Override
    public void flush(Completion completion) {
        file.flush(completion);
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        file.read(from + offset, buffer, at, length, completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        file.extents(from + offset, length, (at, bytes, state) -> sink.extent(at - from, bytes, state), completion);
    }

    @Override
    public void close(Completion completion) {
        file.close(completion);
    }

    @Override
    public String toString() {
        return name;
    }
}
