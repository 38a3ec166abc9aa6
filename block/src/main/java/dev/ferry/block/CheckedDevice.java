package dev.ferry.block;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The boundary that every hop crosses. It holds callers to the contract of {@link BlockDevice} (range, alignment,
 * flags, life cycle), and makes up, once and for all devices, for what the one below cannot do: FUA by a flush, zeroes
 * by writing them, discard by zeroes, extents by calling everything data.
 *
 * <p>A request that breaks the contract fails with {@link ErrorKind#INVALID}, {@link ErrorKind#READ_ONLY} or {@link
 * ErrorKind#CLOSED} and never reaches the device. Thread: the device's loop.
 */
public final class CheckedDevice implements BlockDevice {
    private static final int ZERO_CHUNK_BYTES = 1 << 20;

    private final BlockDevice next;
    private final String name;
    private final Geometry geometry;
    private final Capabilities below;
    private final Capabilities offered;
    private final long sizeBytes;
    private final long alignmentMask;
    private final int maxTransferBytes;
    private boolean closed;
    private @Nullable Emulation pool;
    private @Nullable IoBuffer zeroes;

    private CheckedDevice(BlockDevice next, String name) {
        this.next = next;
        this.name = name;
        this.geometry = next.geometry();
        this.below = next.capabilities();
        this.sizeBytes = geometry.sizeBytes();
        this.alignmentMask = geometry.blockSizeBytes() - 1L;
        this.maxTransferBytes = geometry.maxTransferBytes();
        this.offered = new Capabilities(
                below.readOnly(),
                true,
                true,
                below.zero() && below.fastZero(),
                below.discard(),
                below.extents(),
                below.rotational());
    }

    /**
     * Puts the boundary in front of a device.
     *
     * @param name what people know the device by; named in errors
     */
    public static CheckedDevice of(BlockDevice next, String name) {
        return new CheckedDevice(next, name);
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return offered;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (admitTransfer("read", offset, buffer, at, length, completion)) {
            next.read(offset, buffer, at, length, completion);
        }
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        if (!admitTransfer("write", offset, buffer, at, length, completion)
                || !admitChange("write", offset, length, flags & ~RequestFlags.FUA, completion)) {
            return;
        }
        if ((flags & RequestFlags.FUA) != 0 && !below.fua()) {
            next.write(offset, buffer, at, length, 0, flushed(completion));
        } else {
            next.write(offset, buffer, at, length, flags, completion);
        }
    }

    @Override
    public boolean writesFiles() {
        return !closed && next.writesFiles();
    }

    @Override
    public void writeFile(long offset, FileRange from, int length, int flags, Completion completion) {
        if (!admitRange("write", offset, length, completion)
                || !admitChange("write", offset, length, flags & ~RequestFlags.FUA, completion)) {
            return;
        }
        if (length > maxTransferBytes) {
            completion.complete(error(ErrorKind.INVALID, "write", offset, length, "longer than the maximum"));
            return;
        }
        boolean flushes = (flags & RequestFlags.FUA) != 0 && !below.fua();
        next.writeFile(offset, from, length, flushes ? 0 : flags, flushes ? flushed(completion) : completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        int known = RequestFlags.FUA | RequestFlags.NO_HOLE | RequestFlags.FAST_ZERO;
        if (!admitRange("zero", offset, length, completion)
                || !admitChange("zero", offset, length, flags & ~known, completion)) {
            return;
        }
        if ((flags & RequestFlags.FAST_ZERO) != 0 && !offered.fastZero()) {
            completion.complete(error(ErrorKind.UNSUPPORTED, "zero", offset, length, "no fast zeroes here"));
            return;
        }
        boolean fuaHere = (flags & RequestFlags.FUA) != 0 && !below.fua();
        Completion end = fuaHere ? flushed(completion) : completion;
        int rest = fuaHere ? flags & ~RequestFlags.FUA : flags;
        if (below.zero()) {
            next.writeZeroes(offset, length, rest, end);
        } else {
            emulation().writeZeroes(offset, length, rest & RequestFlags.FUA, end);
        }
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        if (!admitRange("discard", offset, length, completion)
                || !admitChange("discard", offset, length, flags & ~RequestFlags.FUA, completion)) {
            return;
        }
        if (!below.discard()) {
            writeZeroes(offset, length, flags, completion);
        } else if ((flags & RequestFlags.FUA) != 0 && !below.fua()) {
            next.discard(offset, length, 0, flushed(completion));
        } else {
            next.discard(offset, length, flags, completion);
        }
    }

    @Override
    public void flush(Completion completion) {
        if (closed) {
            completion.complete(BlockError.of(ErrorKind.CLOSED, name, "flush", "the device is closed"));
            return;
        }
        next.flush(completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        if (!admitRange("extents", offset, length, completion)) {
            return;
        }
        if (below.extents()) {
            next.extents(offset, length, sink, completion);
        } else {
            sink.extent(offset, length, 0);
            completion.complete(null);
        }
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        if (!below.extents()) {
            extents(offset, length, sink, completion);
        } else if (admitRange("extents", offset, length, completion)) {
            next.ownExtents(offset, length, sink, completion);
        }
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return !closed
                && offset >= 0
                && length > 0
                && offset <= sizeBytes - length
                && next.locate(offset, length, range);
    }

    @Override
    public void located(long offset, int length, long nanos) {
        next.located(offset, length, nanos);
    }

    @Override
    public BlockDevice store() {
        return next.store();
    }

    @Override
    public int offloadUnitBytes(BlockDevice source) {
        return closed || below.readOnly() ? 0 : next.offloadUnitBytes(source);
    }

    @Override
    public void copyFrom(BlockDevice source, long offset, long length, Completion completion) {
        if (!admitRange("copy", offset, length, completion) || !admitChange("copy", offset, length, 0, completion)) {
            return;
        }
        int unit = next.offloadUnitBytes(source);
        if (unit == 0) {
            completion.complete(
                    error(ErrorKind.UNSUPPORTED, "copy", offset, length, "the store does not copy from there"));
        } else if (offset % unit != 0
                || length % unit != 0
                || offset + length > source.geometry().sizeBytes()) {
            completion.complete(
                    error(ErrorKind.INVALID, "copy", offset, length, "not in units of " + unit + " within the source"));
        } else {
            next.copyFrom(source, offset, length, completion);
        }
    }

    @Override
    public long lengthBytes() {
        return next.lengthBytes();
    }

    @Override
    public void resize(long lengthBytes, Completion completion) {
        if (closed) {
            completion.complete(BlockError.of(ErrorKind.CLOSED, name, "resize", "the device is closed"));
        } else if (below.readOnly()) {
            completion.complete(BlockError.of(ErrorKind.READ_ONLY, name, "resize", "the device is read-only"));
        } else if (lengthBytes < 0 || lengthBytes > sizeBytes) {
            completion.complete(
                    BlockError.of(ErrorKind.INVALID, name, "resize", "outside its bound of " + sizeBytes + " bytes"));
        } else {
            next.resize(lengthBytes, completion);
        }
    }

    @Override
    public void close(Completion completion) {
        if (closed) {
            completion.complete(null);
            return;
        }
        closed = true;
        next.close(completion);
    }

    private boolean admitTransfer(
            String operation, long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (at < 0 || length > maxTransferBytes || length > buffer.capacity() - at) {
            completion.complete(
                    error(ErrorKind.INVALID, operation, offset, length, "longer than its buffer or the maximum"));
            return false;
        }
        if ((at & alignmentMask) != 0) {
            completion.complete(
                    error(ErrorKind.INVALID, operation, offset, length, "at a part of a block in its buffer"));
            return false;
        }
        return admitRange(operation, offset, length, completion);
    }

    private boolean admitRange(String operation, long offset, long length, Completion completion) {
        if (closed) {
            completion.complete(error(ErrorKind.CLOSED, operation, offset, length, "the device is closed"));
            return false;
        }
        if (offset < 0 || length <= 0 || length > sizeBytes || offset > sizeBytes - length) {
            completion.complete(error(
                    ErrorKind.INVALID, operation, offset, length, "outside the device of " + sizeBytes + " bytes"));
            return false;
        }
        boolean toTheEnd = offset + length == sizeBytes;
        if ((offset & alignmentMask) != 0 || ((length & alignmentMask) != 0 && !toTheEnd)) {
            completion.complete(error(
                    ErrorKind.INVALID, operation, offset, length, "not in blocks of " + geometry.blockSizeBytes()));
            return false;
        }
        return true;
    }

    private boolean admitChange(String operation, long offset, long length, int unknownFlags, Completion completion) {
        if (below.readOnly()) {
            completion.complete(error(ErrorKind.READ_ONLY, operation, offset, length, "the device is read-only"));
            return false;
        }
        if (unknownFlags != 0) {
            completion.complete(error(ErrorKind.INVALID, operation, offset, length, "unknown flags " + unknownFlags));
            return false;
        }
        return true;
    }

    private BlockError error(ErrorKind kind, String operation, long offset, long length, String detail) {
        return BlockError.of(kind, name, operation, offset, length, detail);
    }

    private Emulation emulation() {
        Emulation emulation = pool;
        if (emulation == null) {
            return new Emulation();
        }
        pool = emulation.nextFree;
        return emulation;
    }

    private Completion flushed(Completion completion) {
        return emulation().flushAfter(completion);
    }

    /** A request that takes several below: a change and a flush, or a run of writes of zeroes. */
    private final class Emulation implements Completion {
        private @Nullable Emulation nextFree;
        private @Nullable Completion completion;
        private boolean flushPending;
        private boolean submitting;
        private boolean endedInline;
        private long offset;
        private long remaining;
        private int flags;

        Completion flushAfter(Completion whenFlushed) {
            completion = whenFlushed;
            flushPending = true;
            remaining = 0;
            return this;
        }

        void writeZeroes(long from, long length, int writeFlags, Completion whenWritten) {
            completion = whenWritten;
            flushPending = false;
            offset = from;
            remaining = length;
            flags = writeFlags;
            submitWrites();
        }

        /** A loop, not a recursion, where writes end inline. */
        private void submitWrites() {
            do {
                IoBuffer source = zeroBuffer();
                int length = (int) Math.min(remaining, Math.min(source.capacity(), maxTransferBytes));
                long from = offset;
                offset += length;
                remaining -= length;
                submitting = true;
                endedInline = false;
                next.write(from, source, 0, length, flags, this);
                submitting = false;
            } while (endedInline);
        }

        @Override
        public void complete(@Nullable BlockError error) {
            if (error == null && remaining > 0) {
                if (submitting) {
                    endedInline = true;
                } else {
                    submitWrites();
                }
                return;
            }
            endedInline = false;
            if (error == null && flushPending) {
                flushPending = false;
                next.flush(this);
                return;
            }
            Completion ended = Objects.requireNonNull(completion);
            completion = null;
            nextFree = pool;
            pool = this;
            ended.complete(error);
        }
    }

    private IoBuffer zeroBuffer() {
        IoBuffer buffer = zeroes;
        if (buffer == null) {
            buffer = IoBuffer.allocate(Math.max(ZERO_CHUNK_BYTES, geometry.blockSizeBytes()));
            zeroes = buffer;
        }
        return buffer;
    }
}
