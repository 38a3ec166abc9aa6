package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;

/** A part of a disk whose grains lie anywhere in a file, or nowhere. The disk's loop. */
public final class SparseExtent extends ReadOnlyDevice {
    private static final int EXTENTS_MAX = 2048;

    private final BlockDevice file;
    private final GrainMap map;
    private final int grainBytes;

    public SparseExtent(String name, BlockDevice file, long sizeBytes, int grainBytes, GrainMap map) {
        super(name, sizeBytes);
        this.file = file;
        this.map = map;
        this.grainBytes = grainBytes;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        Pieces pieces = new Pieces(completion);
        long end = offset + length;
        for (long position = offset; position < end; ) {
            long grain = position / grainBytes;
            long host = map.positionOf(grain);
            long runEnd = Math.min(end, (grain + 1) * grainBytes);
            while (runEnd < end && follows(host, ++grain, runEnd - position + position % grainBytes)) {
                runEnd = Math.min(end, (grain + 1) * grainBytes);
            }
            int into = at + (int) (position - offset);
            int run = (int) (runEnd - position);
            if (host == GrainMap.NOTHING) {
                buffer.zero(into, run);
            } else {
                data(host + position % grainBytes, buffer, into, run, pieces.more());
            }
            position = runEnd;
        }
        pieces.allSubmitted();
    }

    /** @param distance from the beginning of the first grain of the run to that of this one */
    private boolean follows(long first, long grain, long distance) {
        long host = map.positionOf(grain);
        return first == GrainMap.NOTHING ? host == GrainMap.NOTHING : host == first + distance;
    }

    private void data(long position, IoBuffer buffer, int at, int length, Completion completion) {
        if (position + length > file.lengthBytes()) {
            completion.complete(BlockError.of(
                    ErrorKind.CORRUPT, name, "read", position, length, "its data lies past the end of the file"));
        } else {
            file.read(position, buffer, at, length, completion);
        }
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        long end = offset + length;
        int found = 0;
        for (long position = offset; position < end && found < EXTENTS_MAX; found++) {
            boolean hole = map.positionOf(position / grainBytes) == GrainMap.NOTHING;
            long to = position;
            do {
                to = Math.min(end, (to / grainBytes + 1) * grainBytes);
            } while (to < end && (map.positionOf(to / grainBytes) == GrainMap.NOTHING) == hole);
            sink.extent(position, to - position, hole ? ExtentSink.HOLE | ExtentSink.ZERO : 0);
            position = to;
        }
        completion.complete(null);
    }

    @Override
    public void close(Completion completion) {
        file.close(completion);
    }
}
