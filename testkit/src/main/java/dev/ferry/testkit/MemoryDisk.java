package dev.ferry.testkit;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;

/** A disk in memory whose every request ends inline. Thin: what was never written, or was discarded, is a hole. */
public final class MemoryDisk implements BlockDevice {
    private final Geometry geometry;
    private final Capabilities capabilities;
    private final SparseBytes content;
    private final boolean growing;
    private long lengthBytes;
    private long flushes;

    public MemoryDisk(long sizeBytes) {
        this(Geometry.ofBytes(sizeBytes), Capabilities.ALL);
    }

    public MemoryDisk(Geometry geometry, Capabilities capabilities) {
        this(geometry, capabilities, false);
    }

    /** A file of no length that may grow up to {@code boundBytes}. */
    public static MemoryDisk growing(long boundBytes) {
        return new MemoryDisk(Geometry.ofBytes(boundBytes), Capabilities.ALL, true);
    }

    private MemoryDisk(Geometry geometry, Capabilities capabilities, boolean growing) {
        this.growing = growing;
        this.lengthBytes = growing ? 0 : geometry.sizeBytes();
        this.geometry = geometry;
        this.capabilities = capabilities;
        this.content = new SparseBytes(geometry.sizeBytes());
    }

    /** A copy of a range. */
    public byte[] bytes(long offset, int length) {
        return content.read(offset, length);
    }

    /** Puts bytes there, past all that is above. */
    public void fill(long offset, byte[] bytes) {
        content.write(offset, bytes);
        lengthBytes = Math.max(lengthBytes, offset + bytes.length);
    }

    public long allocatedBytes() {
        return content.allocatedBytes();
    }

    /** How often it was flushed. */
    public long flushes() {
        return flushes;
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
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        content.read(offset, buffer, at, length);
        completion.complete(null);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        content.write(offset, buffer, at, length);
        lengthBytes = Math.max(lengthBytes, offset + length);
        completion.complete(null);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        content.zero(offset, length, (flags & RequestFlags.NO_HOLE) == 0);
        completion.complete(null);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        content.zero(offset, length, true);
        completion.complete(null);
    }

    @Override
    public void flush(Completion completion) {
        flushes++;
        completion.complete(null);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        content.extents(offset, length, sink);
        completion.complete(null);
    }

    @Override
    public long lengthBytes() {
        return lengthBytes;
    }

    @Override
    public void resize(long newLengthBytes, Completion completion) {
        if (!growing) {
            BlockDevice.super.resize(newLengthBytes, completion);
            return;
        }
        if (newLengthBytes < lengthBytes) {
            content.zero(newLengthBytes, lengthBytes - newLengthBytes, true);
        }
        lengthBytes = newLengthBytes;
        completion.complete(null);
    }

    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }
}
