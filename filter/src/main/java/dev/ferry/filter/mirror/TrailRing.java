package dev.ferry.filter.mirror;

import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;

/**
 * Memory for the bytes of changes that a target has not got yet: taken once, given out in order, and free again in the
 * same order. A piece does not wrap; what is left over at the end of the memory is free again with the piece after it.
 */
final class TrailRing {
    private static final int ALIGN = 4096;

    private final IoBuffer memory;
    private final int capacity;
    /** Bytes ever given out, and of those how many are free again. */
    private long head;

    private long tail;

    /** @param capacity a multiple of 4096 */
    TrailRing(int capacity) {
        Invariant.that(capacity % ALIGN == 0, "size of a ring");
        this.capacity = capacity;
        this.memory = IoBuffer.allocate(capacity);
    }

    IoBuffer memory() {
        return memory;
    }

    /** Bytes that are not free, with what is lost to rounding. */
    long usedBytes() {
        return head - tail;
    }

    boolean fits(long length) {
        return needs(length) <= capacity - (head - tail);
    }

    /** Where the next piece would be: as {@link #take} gives it, with what is skipped before it. */
    private long needs(long length) {
        long rounded = (length + ALIGN - 1) & -ALIGN;
        long left = capacity - head % capacity;
        return rounded <= left ? rounded : left + rounded;
    }

    /** @return where in {@link #memory} the piece begins */
    int take(long length) {
        Invariant.that(fits(length), "more taken from a ring than there is");
        long rounded = (length + ALIGN - 1) & -ALIGN;
        head += needs(length);
        return (int) ((head - rounded) % capacity);
    }

    /** Nothing is in use and no mark is kept: begins at the start again, where memory is in the processor's cache. */
    void rewind() {
        Invariant.that(head == tail, "a ring rewound that is in use");
        head = 0;
        tail = 0;
    }

    /** What {@link #freeUpTo} is to be told when this and all before it is to be free. */
    long mark() {
        return head;
    }

    void freeUpTo(long mark) {
        Invariant.that(mark >= tail && mark <= head, "order in which a ring is freed");
        tail = mark;
    }
}
