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
import dev.ferry.image.FilePatch;
import org.jspecify.annotations.Nullable;

/**
 * A file as it would be with some of its bytes replaced: under other names ({@link Stacks#renamed}), or with nothing but its internal
 * snapshots ({@link LiveSnapshots#of}). Takes any offset and length, and no changes. Thread: the loop's.
 */
final class PatchedFile extends FilterDevice {
    private final FilePatch patch;
    private final Geometry geometry;

    /** @param file takes any offset and length; only read, may grow, and is closed by others, after this */
    PatchedFile(BlockDevice file, FilePatch patch) {
        super(file);
        this.patch = patch;
        this.geometry = Geometry.ofBytes(patch.lengthBytes());
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

    /** How much of a range the file has. */
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
            patch.put(offset, length, buffer, at);
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
        completion.complete(BlockError.of(ErrorKind.READ_ONLY, "patched file", operation, "the file is only read"));
    }

    @Override
    public void flush(Completion completion) {
        completion.complete(null);
    }

    /** What is made is data and what is free a hole, whatever the file has there. */
    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        long end = offset + length;
        long at = offset;
        while (at < end && patch.part(at) != FilePatch.Part.KEPT) {
            int state = patch.part(at) == FilePatch.Part.FREE ? ExtentSink.HOLE | ExtentSink.ZERO : 0;
            long to = patch.partEnd(at, end);
            sink.extent(at, to - at, state);
            at = to;
        }
        long there = at == end ? 0 : thereBytes(at, patch.partEnd(at, end) - at);
        if (there > 0) {
            next.extents(at, there, sink, completion);
            return;
        }
        if (at == offset) {
            sink.extent(at, patch.partEnd(at, end) - at, ExtentSink.HOLE | ExtentSink.ZERO);
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

    /** Closes nothing: the file is another's. */
    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }
}
