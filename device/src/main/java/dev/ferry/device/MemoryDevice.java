package dev.ferry.device;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.reactor.Linux;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;

/**
 * A disk in memory, which forgets when it is closed. Memory is taken as it is written and stays with the process. Ends
 * every request at once. Thread: its loop.
 */
public final class MemoryDevice implements BlockDevice {
    private static final int CHUNK_BYTES = 64 << 10;

    private final MemorySegment memory;
    private final Geometry geometry;
    private final BitSet written;

    /** @param sizeBytes its size; at most 128 GiB, so that chunks can be counted */
    public MemoryDevice(long sizeBytes) {
        if (sizeBytes < 1 || sizeBytes > 128L << 30) {
            throw new IllegalArgumentException("a memory disk has 1 byte to 128 GiB");
        }
        memory = Linux.pages().allocate(sizeBytes, 4096);
        geometry = Geometry.ofBytes(sizeBytes);
        written = new BitSet((int) (sizeBytes / CHUNK_BYTES) + 1);
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
        MemorySegment.copy(memory, offset, buffer.segment(), at, length);
        completion.complete(null);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        MemorySegment.copy(buffer.segment(), at, memory, offset, length);
        written.set((int) (offset / CHUNK_BYTES), (int) ((offset + length - 1) / CHUNK_BYTES) + 1);
        completion.complete(null);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        long end = offset + length;
        zeroWritten(offset, end);
        int firstWhole = (int) ((offset + CHUNK_BYTES - 1) / CHUNK_BYTES);
        int pastLast =
                end == geometry.sizeBytes() ? (int) ((end + CHUNK_BYTES - 1) / CHUNK_BYTES) : (int) (end / CHUNK_BYTES);
        if (firstWhole < pastLast) {
            written.clear(firstWhole, pastLast);
        }
        completion.complete(null);
    }

    /** Touches only what has been written: zeroing a hole must not take memory. */
    private void zeroWritten(long offset, long end) {
        int chunk = written.nextSetBit((int) (offset / CHUNK_BYTES));
        while (chunk >= 0 && (long) chunk * CHUNK_BYTES < end) {
            long from = Math.max(offset, (long) chunk * CHUNK_BYTES);
            long to = Math.min(end, (chunk + 1L) * CHUNK_BYTES);
            memory.asSlice(from, to - from).fill((byte) 0);
            chunk = written.nextSetBit(chunk + 1);
        }
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
        long position = offset;
        while (position < end) {
            int chunk = (int) (position / CHUNK_BYTES);
            boolean data = written.get(chunk);
            int next = data ? written.nextClearBit(chunk) : written.nextSetBit(chunk);
            long until = next < 0 ? end : Math.min(end, (long) next * CHUNK_BYTES);
            sink.extent(position, until - position, data ? 0 : ExtentSink.HOLE | ExtentSink.ZERO);
            position = until;
        }
        completion.complete(null);
    }

    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }
}
