package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;

/**
 * Format raw: byte {@code n} of the disk is byte {@code n} of the file, and the disk is exactly as long as the file,
 * whatever that is a multiple of.
 *
 * <p>What there is to do is to keep what {@link Provisioning} promises. On a thin disk zeroes and discards make holes.
 * On the others they leave the room allocated, and what is allocated is never called a hole. A discard is
 * taken on every disk, since a guest must not see its disk lose an ability by moving; on a disk that is not thin it
 * zeroes.
 *
 * <p>Thread: the disk's loop. Errors are those of the file. Expects the checked boundary above and below.
 */
public final class RawImage extends FilterDevice {
    private final boolean thin;
    private final Capabilities capabilities;

    public RawImage(BlockDevice file, Provisioning provisioning) {
        super(file);
        this.thin = provisioning == Provisioning.THIN;
        Capabilities below = file.capabilities();
        this.capabilities = new Capabilities(
                below.readOnly(), below.fua(), true, below.fastZero(), true, below.extents(), below.rotational());
    }

    @Override
    public Capabilities capabilities() {
        return capabilities;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        next.read(offset, buffer, at, length, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        next.write(offset, buffer, at, length, flags, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        if (thin) {
            next.writeZeroes(offset, length, flags, completion);
        } else {
            keep(offset, length, flags, completion);
        }
    }

    private void keep(long offset, long length, int flags, Completion completion) {
        Completion end = new KeptZeroes(next, offset, length, flags & RequestFlags.FUA, completion);
        next.writeZeroes(offset, length, flags | RequestFlags.NO_HOLE, end);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        if (thin) {
            next.discard(offset, length, flags, completion);
        } else {
            keep(offset, length, flags, completion);
        }
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    /** On a disk that is not thin, the file system's holes are ranges that it has room for and nothing was written to. */
    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        if (thin) {
            next.extents(offset, length, sink, completion);
        } else {
            next.extents(
                    offset,
                    length,
                    (from, bytes, state) -> sink.extent(from, bytes, state & ~ExtentSink.HOLE),
                    completion);
        }
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return next.locate(offset, length, range);
    }

    /** Of a disk that is not thin nobody may share the room: to be written to again it would have to be found anew. */
    @Override
    public BlockDevice store() {
        return thin ? next.store() : this;
    }

    @Override
    public int offloadUnitBytes(BlockDevice source) {
        return thin ? next.offloadUnitBytes(source) : 0;
    }

    @Override
    public void copyFrom(BlockDevice source, long offset, long length, Completion completion) {
        next.copyFrom(source, offset, length, completion);
    }
}
