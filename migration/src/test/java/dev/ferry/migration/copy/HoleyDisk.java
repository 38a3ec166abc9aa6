package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import java.util.NavigableMap;
import java.util.TreeMap;

/** A disk of any size in memory that costs what is in it. Requests are of whole blocks of 4 KiB, and end inline. */
final class HoleyDisk implements BlockDevice {
    private static final int BLOCK_BYTES = 4096;

    private final Geometry geometry;
    private final TreeMap<Long, byte[]> blocks = new TreeMap<>();

    HoleyDisk(long sizeBytes) {
        geometry = Geometry.ofBytes(sizeBytes);
    }

    /** The blocks that are there, by their offsets. */
    NavigableMap<Long, byte[]> blocks() {
        return blocks;
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return Capabilities.ALL;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        for (int done = 0; done < length; done += BLOCK_BYTES) {
            byte[] block = blocks.get(offset + done);
            buffer.copyFrom(block == null ? new byte[BLOCK_BYTES] : block, 0, at + done, BLOCK_BYTES);
        }
        completion.complete(null);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        for (int done = 0; done < length; done += BLOCK_BYTES) {
            byte[] block = new byte[BLOCK_BYTES];
            buffer.copyTo(at + done, block, 0, BLOCK_BYTES);
            blocks.put(offset + done, block);
        }
        completion.complete(null);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        blocks.subMap(offset, offset + length).clear();
        completion.complete(null);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        writeZeroes(offset, length, flags, completion);
    }

    @Override
    public void flush(Completion completion) {
        completion.complete(null);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        long end = offset + length;
        for (long from = offset; from < end; ) {
            Long data = blocks.ceilingKey(from);
            if (data == null || data >= end) {
                sink.extent(from, end - from, ExtentSink.HOLE | ExtentSink.ZERO);
                from = end;
            } else if (data > from) {
                sink.extent(from, data - from, ExtentSink.HOLE | ExtentSink.ZERO);
                from = data;
            } else {
                sink.extent(from, BLOCK_BYTES, 0);
                from += BLOCK_BYTES;
            }
        }
        completion.complete(null);
    }

    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }
}
