package dev.ferry.block;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import org.jspecify.annotations.Nullable;

/**
 * Buffers of one thread, in classes of powers of two from 4 KiB to 32 MiB.
 *
 * <p>The first {@code slabBytes} lie in one piece, which a native event loop may register with the kernel; when it is
 * cut up, more memory is taken up to {@code maxBytes}. Nothing goes back before the process ends: freeing shared
 * native memory stops every thread, and a pool of a busy disk is needed again at once. {@link #take} gives null when
 * the bound is reached: the caller waits for one of its own requests to end.
 */
public final class BufferPool {
    private static final int SMALLEST_SHIFT = 12;
    private static final int CLASSES = 14;

    private final SegmentAllocator memory;
    private final MemorySegment slab;
    private final long maxBytes;
    private final @Nullable IoBuffer[] free = new @Nullable IoBuffer[CLASSES];
    private long slabUsed;
    private long moreUsed;

    /**
     * @param memory where memory comes from; never freed. Best fresh pages, which cost nothing until they are touched
     * @param slabBytes memory taken at once, in one piece
     * @param maxBytes bound on all memory of this pool, at least {@code slabBytes}
     */
    public BufferPool(SegmentAllocator memory, long slabBytes, long maxBytes) {
        Invariant.that(maxBytes >= slabBytes, "pool bound below its slab");
        this.memory = memory;
        this.slab = memory.allocate(Math.max(slabBytes, IoBuffer.ALIGNMENT), IoBuffer.ALIGNMENT);
        this.maxBytes = maxBytes;
    }

    /** A pool on ordinary native memory, for tools and tests. */
    public static BufferPool ofBytes(long maxBytes) {
        return new BufferPool(Arena.global(), 0, maxBytes);
    }

    /** The part that lies in one piece. */
    public MemorySegment slab() {
        return slab;
    }

    /**
     * A buffer of at least {@code bytes}, with any content.
     *
     * @return null if the pool's bound is reached
     */
    public @Nullable IoBuffer take(int bytes) {
        Invariant.that(bytes >= 0 && bytes <= Geometry.MAX_TRANSFER_BYTES, "buffer size");
        int sizeClass = classOf(bytes);
        IoBuffer buffer = free[sizeClass];
        if (buffer != null) {
            free[sizeClass] = buffer.nextFree;
            buffer.nextFree = null;
            buffer.free = false;
            return buffer;
        }
        return carve(sizeClass);
    }

    void release(IoBuffer buffer) {
        Invariant.that(!buffer.free, "buffer released twice");
        buffer.free = true;
        buffer.nextFree = free[buffer.sizeClass];
        free[buffer.sizeClass] = buffer;
    }

    private @Nullable IoBuffer carve(int sizeClass) {
        long bytes = IoBuffer.ALIGNMENT + (1L << (sizeClass + SMALLEST_SHIFT));
        if (slabUsed + bytes <= slab.byteSize()) {
            MemorySegment piece = slab.asSlice(slabUsed, bytes);
            slabUsed += bytes;
            return new IoBuffer(piece, this, sizeClass);
        }
        if (slab.byteSize() + moreUsed + bytes > maxBytes) {
            return null;
        }
        moreUsed += bytes;
        return new IoBuffer(memory.allocate(bytes, IoBuffer.ALIGNMENT), this, sizeClass);
    }

    private static int classOf(int bytes) {
        int shift = 32 - Integer.numberOfLeadingZeros(Math.max(bytes, 1) - 1);
        return Math.max(shift, SMALLEST_SHIFT) - SMALLEST_SHIFT;
    }
}
