package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;

/** A device that takes no changes. The disk's loop. */
public abstract class ReadOnlyDevice implements BlockDevice {
    private static final Capabilities CAPABILITIES = new Capabilities(true, false, false, false, false, true, false);

    private final Geometry geometry;
    protected final String name;

    protected ReadOnlyDevice(String name, long sizeBytes) {
        this.name = name;
        this.geometry = Geometry.ofBytes(sizeBytes);
    }

    @Override
    public final Geometry geometry() {
        return geometry;
    }

    @Override
    public final Capabilities capabilities() {
        return CAPABILITIES;
    }

    @Override
    public final void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        refuse("write", offset, length, completion);
    }

    @Override
    public final void writeZeroes(long offset, long length, int flags, Completion completion) {
        refuse("zero", offset, length, completion);
    }

    @Override
    public final void discard(long offset, long length, int flags, Completion completion) {
        refuse("discard", offset, length, completion);
    }

    private void refuse(String operation, long offset, long length, Completion completion) {
        completion.complete(
                BlockError.of(ErrorKind.READ_ONLY, name, operation, offset, length, "this format is read only"));
    }

    /** There is nothing to make durable. */
    @Override
    public final void flush(Completion completion) {
        completion.complete(null);
    }
}
