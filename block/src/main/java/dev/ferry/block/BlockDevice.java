package dev.ferry.block;

/**
 * A virtual disk, or one layer of one: a front, a filter, an image format, a file, a server far away.
 *
 * <p><b>Thread.</b> A device belongs to one {@link Loop}; every method is called on the thread of that loop and every
 * completion is called there. A device holds no locks.
 *
 * <p><b>Requests.</b> A request is submitted and ends later, exactly once, by its {@link Completion}. It may end before
 * the submitting call returns, so a caller that submits in a cycle must not do so by recursion. Any number of requests
 * may be in flight, and they may end in any order. What overlapping requests in flight leave behind is undefined, unless
 * a layer above keeps them apart; the front of every stack does so for all requests that change data.
 *
 * <p><b>Units.</b> Offsets and lengths are bytes. {@code 0 <= offset}, {@code 0 < length} and {@code offset + length <=}
 * {@link Geometry#sizeBytes()}; both are multiples of {@link Geometry#blockSizeBytes()}, except that the last block of
 * a disk may be short where the size is not a multiple of it; so is the place in the buffer where the bytes begin.
 * {@link CheckedDevice} holds callers to all that.
 *
 * <p><b>Errors</b> come through the completion as a {@link BlockError}; no method here throws for an operating error.
 * After a failed write, zero or discard the content of its range is undefined; after a failed flush, nothing may be
 * assumed of what was written since the last one that succeeded.
 */
public interface BlockDevice {
    /** What this device is made of; does not change while it is open. */
    Geometry geometry();

    /** What this device can do; does not change while it is open. */
    Capabilities capabilities();

    /** Reads {@code length} bytes at {@code offset} into {@code buffer}, from its byte {@code at} on. */
    void read(long offset, IoBuffer buffer, int at, int length, Completion completion);

    /**
     * Writes {@code length} bytes from {@code buffer}, from its byte {@code at} on. The bytes must not change until the
     * request has ended, nor after that while the buffer is {@link IoBuffer#retained}: whoever wants to fill it again
     * releases it to its pool and takes another, or asks.
     *
     * @param flags {@link RequestFlags#FUA} or 0
     */
    void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion);

    /** True if this device takes {@link #writeFile}; does not change while it is open. */
    default boolean writesFiles() {
        return false;
    }

    /**
     * As {@link #write}, of bytes that lie in a file where {@link #locate} has found them: the kernel takes them from there
     * some time before the request ends, and nobody looks at them on the way. So the file stays open, and the bytes as they are,
     * until then: this is for copies that nobody writes beside. Ends with {@link ErrorKind#UNSUPPORTED} where {@link
     * #writesFiles} says no; a file that ends too soon or cannot be read ends it with {@link ErrorKind#IO}.
     *
     * @param from is filled in anew by its owner after this has returned
     * @param flags {@link RequestFlags#FUA} or 0
     */
    default void writeFile(long offset, FileRange from, int length, int flags, Completion completion) {
        completion.complete(BlockError.of(
                ErrorKind.UNSUPPORTED, toString(), "write", offset, length, "this device does not take files"));
    }

    /**
     * Makes a range read as zeroes.
     *
     * @param flags {@link RequestFlags#FUA}; {@link RequestFlags#NO_HOLE}: the range stays or becomes allocated; {@link
     *     RequestFlags#FAST_ZERO}: fail at once with {@link ErrorKind#UNSUPPORTED}, and change nothing, where this
     *     would be no faster than writing
     */
    void writeZeroes(long offset, long length, int flags, Completion completion);

    /**
     * Tells the device that the content of a range is no longer wanted. On every device of Ferry a range that has been
     * discarded reads as zeroes.
     *
     * @param flags {@link RequestFlags#FUA} or 0
     */
    void discard(long offset, long length, int flags, Completion completion);

    /** Makes durable every write, zero and discard that had ended when this was submitted. */
    void flush(Completion completion);

    /**
     * Describes a range as consecutive extents, in order, without gaps, from {@code offset} on. It may stop early (never
     * before the first extent); the last extent never goes past the end of the range. The sink is called on the loop,
     * before the completion.
     */
    void extents(long offset, long length, ExtentSink sink, Completion completion);

    /**
     * As {@link #extents}, of this image alone, where it lies over another: what shows through from there is a {@link
     * ExtentSink#HOLE} without {@link ExtentSink#ZERO}. What lies over nothing answers both alike.
     */
    default void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        extents(offset, length, sink, completion);
    }

    /**
     * Says where a range lies if it is stored as is, in one piece, in a file whose pages are in memory, so that a caller
     * may have the kernel send it from there. Whoever uses the answer does so before it returns to the loop; after
     * that it is void.
     *
     * @return true if {@code range} was filled in; false if the range has to be read
     */
    default boolean locate(long offset, int length, FileRange range) {
        return false;
    }

    /**
     * Tells the layers that a range found by {@link #locate} was sent on, for their statistics.
     *
     * @param nanos how long the request took, in nanoseconds
     */
    default void located(long offset, int length, long nanos) {}

    /**
     * The device that keeps the bytes of this one, as they are and at the same offsets, where that is not this one itself: a
     * layer that passes everything on untouched names the one below, so that two stores can copy among themselves.
     */
    default BlockDevice store() {
        return this;
    }

    /**
     * Asks whether {@link #copyFrom} can be tried with a device as the source: the unit in which it takes offsets and lengths,
     * in bytes; or 0, it cannot.
     */
    default int offloadUnitBytes(BlockDevice source) {
        return 0;
    }

    /**
     * Has the store copy a range of another device to the same range of this one, without passing it through memory; holes
     * become holes or zeroes. What of the source is changed meanwhile may be copied as it was or as it is. Both belong to the
     * same loop, and the source stays open.
     *
     * <p>Ends with {@link ErrorKind#UNSUPPORTED} if the store has not done it, whatever the reason; what is in the range then
     * is undefined, and it can still be read and written.
     */
    default void copyFrom(BlockDevice source, long offset, long length, Completion completion) {
        completion.complete(BlockError.of(
                ErrorKind.UNSUPPORTED, toString(), "copy", offset, length, "this store does not copy by itself"));
    }

    /**
     * How long the file at the bottom is now. Where it can grow, as the file of an image does, {@link Geometry#sizeBytes()}
     * is the bound up to which it may; everywhere else they are the same.
     */
    default long lengthBytes() {
        return geometry().sizeBytes();
    }

    /**
     * Makes a file that can grow longer, by zeroes, or shorter. Durable after a flush, as a write is. No request beyond
     * the new length may be in flight. What cannot change its length answers {@link ErrorKind#UNSUPPORTED}.
     */
    default void resize(long lengthBytes, Completion completion) {
        completion.complete(BlockError.of(ErrorKind.UNSUPPORTED, toString(), "resize", "this device keeps its length"));
    }

    /** Closes this device and those below it. No request may be in flight, and none may follow. Does not flush. */
    void close(Completion completion);
}
