package dev.ferry.block;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Finds out whether bytes are all zero. */
final class Zeroes {
    private static final MemorySegment PAGE = Arena.global().allocate(4096, 4096);

    private Zeroes() {}

    static boolean all(MemorySegment data, int at, int length) {
        if (length == 0) {
            return true;
        }
        // Data that is not zero mostly shows it in its first bytes.
        if (data.get(ValueLayout.JAVA_BYTE, at) != 0 || data.get(ValueLayout.JAVA_BYTE, at + (length / 2)) != 0) {
            return false;
        }
        int end = at + length;
        for (int i = at; i < end; i += 4096) {
            int run = Math.min(4096, end - i);
            if (MemorySegment.mismatch(data, i, (long) i + run, PAGE, 0, run) != -1) {
                return false;
            }
        }
        return true;
    }
}
