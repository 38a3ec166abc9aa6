package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.Overlay;
import java.util.List;

/**
 * A disk of parts, one behind the other; each may be in a file of its own. It takes changes if all of them do, those of no
 * size aside. The disk's loop.
 */
public final class JoinedExtents implements BlockDevice, Overlay {
    private final String name;
    private final List<BlockDevice> parts;
    private final long[] starts;
    private final Geometry geometry;
    private final Capabilities capabilities;

    public JoinedExtents(String name, List<BlockDevice> parts) {
        this.name = name;
        this.parts = List.copyOf(parts);
        this.starts = new long[parts.size() + 1];
        boolean readOnly = false;
        boolean fastZero = true;
        for (int i = 0; i < parts.size(); i++) {
            long bytes = parts.get(i).geometry().sizeBytes();
            Capabilities can = parts.get(i).capabilities();
            starts[i + 1] = starts[i] + bytes;
            readOnly |= bytes > 0 && can.readOnly();
            fastZero &= bytes == 0 || can.fastZero();
        }
        this.geometry = Geometry.ofBytes(starts[parts.size()]);
        this.capabilities = new Capabilities(readOnly, false, true, fastZero, true, true, false);
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return capabilities;
    }

    private int partAt(long offset) {
        int part = 0;
        while (starts[part + 1] <= offset) {
            part++;
        }
        return part;
    }

    /** A part of a request that lies in one part of the disk. */
    @FunctionalInterface
    private interface Share {
        void submit(BlockDevice part, long offset, long within, long bytes, Completion completion);
    }

    /** A request that crosses from one part to another. */
    private void split(long offset, long length, Completion completion, Share share) {
        Pieces pieces = new Pieces(completion);
        long end = offset + length;
        int part = partAt(offset);
        for (long position = offset; position < end; part++) {
            long run = Math.min(end, starts[part + 1]) - position;
            if (run > 0) {
                share.submit(parts.get(part), position - starts[part], position - offset, run, pieces.more());
                position += run;
            }
        }
        pieces.allSubmitted();
    }

    private boolean inOne(int part, long offset, long length) {
        return offset + length <= starts[part + 1];
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        int part = partAt(offset);
        if (inOne(part, offset, length)) {
            parts.get(part).read(offset - starts[part], buffer, at, length, completion);
        } else {
            split(
                    offset,
                    length,
                    completion,
                    (one, from, within, bytes, end) -> one.read(from, buffer, at + (int) within, (int) bytes, end));
        }
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        int part = partAt(offset);
        if (inOne(part, offset, length)) {
            parts.get(part).write(offset - starts[part], buffer, at, length, flags, completion);
        } else {
            split(
                    offset,
                    length,
                    completion,
                    (one, from, within, bytes, end) ->
                            one.write(from, buffer, at + (int) within, (int) bytes, flags, end));
        }
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        split(offset, length, completion, (one, from, within, bytes, end) -> one.writeZeroes(from, bytes, flags, end));
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        split(offset, length, completion, (one, from, within, bytes, end) -> one.discard(from, bytes, flags, end));
    }

    @Override
    public void flush(Completion completion) {
        Pieces pieces = new Pieces(completion);
        for (BlockDevice part : parts) {
            part.flush(pieces.more());
        }
        pieces.allSubmitted();
    }

    /** Of one part; it may stop early. */
    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        int part = partAt(offset);
        parts.get(part).extents(offset - starts[part], left(part, offset, length), from(part, sink), completion);
    }

    /** Of one part; it may stop early. */
    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        int part = partAt(offset);
        parts.get(part).ownExtents(offset - starts[part], left(part, offset, length), from(part, sink), completion);
    }

    private long left(int part, long offset, long length) {
        return Math.min(offset + length, starts[part + 1]) - offset;
    }

    private ExtentSink from(int part, ExtentSink sink) {
        long start = starts[part];
        return (at, bytes, state) -> sink.extent(start + at, bytes, state);
    }

    /** Up to where the last part ends that lies over something. */
    @Override
    public long belowBytes() {
        long end = 0;
        for (int i = 0; i < parts.size(); i++) {
            long below = parts.get(i) instanceof Overlay over ? over.belowBytes() : 0;
            end = below == 0 ? end : starts[i] + below;
        }
        return end;
    }

    @Override
    public void close(Completion completion) {
        Pieces pieces = new Pieces(completion);
        for (BlockDevice part : parts) {
            part.close(pieces.more());
        }
        pieces.allSubmitted();
    }

    @Override
    public String toString() {
        return name;
    }
}
