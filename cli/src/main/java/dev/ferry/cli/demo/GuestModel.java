package dev.ferry.cli.demo;

import dev.ferry.block.IoBuffer;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What a guest knows of its disk: for each block the number of its last write, from which, with the block's own number,
 * every byte of it follows. A block that was never written is zeroes. One thread at a time.
 */
final class GuestModel {
    static final int BLOCK_BYTES = 4096;

    private final int[] generations;

    GuestModel(long diskBytes) {
        generations = new int[Math.toIntExact(diskBytes / BLOCK_BYTES)];
    }

    int blocks() {
        return generations.length;
    }

    /** Puts into memory what a block is to hold after its next write. */
    void fillNext(IoBuffer buffer, int at, int block) {
        MemorySegment memory = buffer.segment();
        long state = seed(block, generations[block] + 1);
        for (int i = 0; i < BLOCK_BYTES; i += Long.BYTES) {
            state += 0x9e3779b97f4a7c15L;
            memory.set(ValueLayout.JAVA_LONG_UNALIGNED, at + (long) i, mix(state));
        }
    }

    /** The write that {@link #fillNext} prepared has been acknowledged. */
    void written(int block) {
        generations[block]++;
    }

    /** Whether memory holds what the block has to hold. */
    boolean holds(IoBuffer buffer, int at, int block) {
        if (generations[block] == 0) {
            return buffer.isZero(at, BLOCK_BYTES);
        }
        MemorySegment memory = buffer.segment();
        long state = seed(block, generations[block]);
        for (int i = 0; i < BLOCK_BYTES; i += Long.BYTES) {
            state += 0x9e3779b97f4a7c15L;
            if (memory.get(ValueLayout.JAVA_LONG_UNALIGNED, at + (long) i) != mix(state)) {
                return false;
            }
        }
        return true;
    }

    private static long seed(int block, int generation) {
        return mix(((long) block << Integer.SIZE) | generation);
    }

    /** The finisher of SplitMix64. */
    static long mix(long value) {
        long z = (value ^ (value >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
