package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import java.util.List;

/** A disk of parts, one behind the other; each may be in a file of its own. The disk's loop. */
public final class JoinedExtents extends ReadOnlyDevice {
    private final List<BlockDevice> parts;
    private final long[] starts;

    public JoinedExtents(String name, List<BlockDevice> parts) {
        super(
                name,
                parts.stream().mapToLong(part -> part.geometry().sizeBytes()).sum());
        this.parts = List.copyOf(parts);
        this.starts = new long[parts.size() + 1];
        for (int i = 0; i < parts.size(); i++) {
            starts[i + 1] = starts[i] + parts.get(i).geometry().sizeBytes();
        }
    }

    private int partAt(long offset) {
        int part = 0;
        while (starts[part + 1] <= offset) {
            part++;
        }
        return part;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        Pieces pieces = new Pieces(completion);
        long end = offset + length;
        int part = partAt(offset);
        for (long position = offset; position < end; part++) {
            int run = (int) (Math.min(end, starts[part + 1]) - position);
            if (run > 0) {
                parts.get(part)
                        .read(position - starts[part], buffer, at + (int) (position - offset), run, pieces.more());
                position += run;
            }
        }
        pieces.allSubmitted();
    }

    /** Of one part; it may stop early. */
    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        int part = partAt(offset);
        long start = starts[part];
        long run = Math.min(offset + length, starts[part + 1]) - offset;
        parts.get(part)
                .extents(offset - start, run, (at, bytes, state) -> sink.extent(start + at, bytes, state), completion);
    }

    @Override
    public void close(Completion completion) {
        Pieces pieces = new Pieces(completion);
        for (BlockDevice part : parts) {
            part.close(pieces.more());
        }
        pieces.allSubmitted();
    }
}
