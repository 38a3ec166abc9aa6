package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.qcow2.SnapshotImage;
import org.jspecify.annotations.Nullable;

/** The bytes of a {@link SnapshotImage}, over the file that it is made of, which is only read. Thread: the loop's. */
final class SnapshotView extends FilterDevice {
    private final SnapshotImage image;
    private final Geometry geometry;

    /** @param file takes any offset and length; others have it open too, and close it */
    SnapshotView(BlockDevice file, SnapshotImage image) {
        super(file);
        this.image = image;
        this.geometry = Geometry.ofBytes(image.lengthBytes());
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        Capabilities file = next.capabilities();
        return new Capabilities(true, false, false, false, false, file.extents(), file.rotational());
    }

    private long thereBytes(long offset, long length) {
        return Math.clamp(next.lengthBytes() - offset, 0, length);
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        int there = (int) thereBytes(offset, length);
        buffer.zero(at + there, length - there);
        if (there == 0) {
            completion.complete(put(offset, length, buffer, at));
        } else {
            next.read(
                    offset,
                    buffer,
                    at,
                    there,
                    error -> completion.complete(error != null ? error : put(offset, length, buffer, at)));
        }
    }

    private @Nullable BlockError put(long offset, int length, IoBuffer buffer, int at) {
        try {
            image.put(offset, length, buffer, at);
            return null;
        } catch (BlockException e) {
            return e.error();
        }
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        refuse("write", completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        refuse("zero", completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        refuse("discard", completion);
    }

    private static void refuse(String operation, Completion completion) {
        completion.complete(BlockError.of(ErrorKind.READ_ONLY, "snapshots", operation, "their file is only read"));
    }

    @Override
    public void flush(Completion completion) {
        completion.complete(null);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        long end = offset + length;
        long at = offset;
        while (at < end && image.part(at) != SnapshotImage.Part.KEPT) {
            int state = image.part(at) == SnapshotImage.Part.FREE ? ExtentSink.HOLE | ExtentSink.ZERO : 0;
            long to = image.partEnd(at, end);
            sink.extent(at, to - at, state);
            at = to;
        }
        long there = at == end ? 0 : thereBytes(at, image.partEnd(at, end) - at);
        if (there > 0) {
            next.extents(at, there, sink, completion);
            return;
        }
        if (at == offset) {
            sink.extent(at, image.partEnd(at, end) - at, ExtentSink.HOLE | ExtentSink.ZERO);
        }
        completion.complete(null);
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        extents(offset, length, sink, completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return false;
    }

    /** Nothing of it is closed: the file is another's. */
    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }
}
