package dev.ferry.reactor;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

/** Native memory by address, as the byte buffers that some libraries want. */
public final class NativeBytes {
    private NativeBytes() {}

    /** A view of {@code length} bytes; whoever holds the memory sees to it that it outlives the view. */
    public static ByteBuffer at(long address, int length) {
        return MemorySegment.ofAddress(address).reinterpret(length).asByteBuffer();
    }

    /** The address that stands in native memory as the first word of an iovec. */
    public static long vectorAddress(long vector) {
        return Memory.longAt(vector);
    }

    /** The length that stands in native memory as the second word of an iovec. */
    public static long vectorLength(long vector) {
        return Memory.longAt(vector + 8);
    }
}
