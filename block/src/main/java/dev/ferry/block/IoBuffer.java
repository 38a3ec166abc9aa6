package dev.ferry.block;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * Native memory for the bytes of requests. Its first byte is aligned to 4096, so that O_DIRECT takes it, and there are
 * {@link #HEADROOM} bytes before it, so that a wire format can put its header in front of the data and send both as one.
 *
 * <p>Belongs to one thread at a time. Comes from a {@link BufferPool} and is released to it, or is made for good by
 * {@link #allocate}.
 */
public final class IoBuffer {
    /** Bytes that may be used in front of the data. */
    public static final int HEADROOM = 64;

    static final int ALIGNMENT = 4096;

    private final MemorySegment headroom;
    private final MemorySegment data;
    private final long address;
    private final int capacity;
    private final @Nullable BufferPool pool;
    final int sizeClass;
    boolean free;
    private int retained;

    @Nullable
    IoBuffer nextFree;

    /** @param whole {@link #ALIGNMENT} bytes of front matter, then the data */
    IoBuffer(MemorySegment whole, @Nullable BufferPool pool, int sizeClass) {
        this.headroom = whole.asSlice(ALIGNMENT - HEADROOM, HEADROOM);
        this.data = whole.asSlice(ALIGNMENT);
        this.address = data.address();
        this.capacity = Math.toIntExact(data.byteSize());
        this.pool = pool;
        this.sizeClass = sizeClass;
        Invariant.that(address % ALIGNMENT == 0, "buffer alignment");
    }

    /** A buffer of zeroes that the garbage collector frees; for set-up and tests, not for each request. */
    public static IoBuffer allocate(int capacity) {
        MemorySegment whole = Arena.ofAuto().allocate((long) ALIGNMENT + capacity, ALIGNMENT);
        return new IoBuffer(whole, null, -1);
    }

    /** A buffer of memory that its giver looks after, such as pages that are never freed. */
    public static IoBuffer of(SegmentAllocator memory, int capacity) {
        return new IoBuffer(memory.allocate((long) ALIGNMENT + capacity, ALIGNMENT), null, -1);
    }

    /** The data, from its first byte; {@link #capacity} bytes. */
    public MemorySegment segment() {
        return data;
    }

    /** Address of the first byte of the data. */
    public long address() {
        return address;
    }

    public int capacity() {
        return capacity;
    }

    /** The {@link #HEADROOM} bytes that end where the data begins. */
    public MemorySegment headroom() {
        return headroom;
    }

    public void copyFrom(IoBuffer from, int fromAt, int at, int length) {
        MemorySegment.copy(from.data, fromAt, data, at, length);
    }

    public void copyFrom(byte[] from, int fromAt, int at, int length) {
        MemorySegment.copy(from, fromAt, data, ValueLayout.JAVA_BYTE, at, length);
    }

    public void copyTo(int at, byte[] to, int toAt, int length) {
        MemorySegment.copy(data, ValueLayout.JAVA_BYTE, at, to, toAt, length);
    }

    public void zero(int at, int length) {
        data.asSlice(at, length).fill((byte) 0);
    }

    /** True if the {@code length} bytes from {@code at} on are all zero. */
    public boolean isZero(int at, int length) {
        return Zeroes.all(data, at, length);
    }

    /**
     * Keeps this buffer from going back to its pool until one more {@link #release}: for a layer that lets a request
     * end while something below may still read the bytes, such as a mirror that lets go of a target that stalls.
     */
    public void retain() {
        retained++;
    }

    /** True while a layer has a hold on the bytes; its owner then takes another buffer instead of filling this again. */
    public boolean retained() {
        return retained > 0;
    }

    /**
     * Gives this buffer back to its pool, once everybody who retained it has released it too. One that has no pool is
     * left to the garbage collector.
     */
    public void release() {
        if (retained > 0) {
            retained--;
        } else if (pool != null) {
            pool.release(this);
        }
    }
}
