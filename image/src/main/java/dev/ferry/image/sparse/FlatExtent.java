package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;

/** A part of a disk that lies in a file as it is, from some place on. */
public final class FlatExtent extends ReadOnlyDevice {
    private final BlockDevice file;
    private final long from;

    /** @param from where it begins in the file; whoever makes this has seen that it ends there too */
    public FlatExtent(String name, BlockDevice file, long from, long sizeBytes) {
        super(name, sizeBytes);
        this.file = file;
        this.from = from;
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
}
