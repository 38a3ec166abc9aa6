package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;

/** A disk that says so many times where its bytes lie, and not any more: as one does that moves meanwhile. */
final class WanderingDisk implements BlockDevice {
    private final BlockDevice next;
    private int locatesLeft;
    private boolean failsReads;
    private int reads;
    private long locatedBytes;

    WanderingDisk(BlockDevice next, int locates, boolean failsReads) {
        this.next = next;
        this.locatesLeft = locates;
        this.failsReads = failsReads;
    }

    /** To be asked on the disk's loop, as the next. */
    int reads() {
        return reads;
    }

    long locatedBytes() {
        return locatedBytes;
    }

    void recover() {
        failsReads = false;
    }

    @Override
    public Geometry geometry() {
        return next.geometry();
    }

    @Override
    public Capabilities capabilities() {
        return next.capabilities();
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        reads++;
        if (failsReads) {
            completion.complete(BlockError.of(ErrorKind.IO, "wandering", "read", offset, length, "lost on the way"));
        } else {
            next.read(offset, buffer, at, length, completion);
        }
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        next.write(offset, buffer, at, length, flags, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        next.writeZeroes(offset, length, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        next.discard(offset, length, flags, completion);
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        next.extents(offset, length, sink, completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return locatesLeft-- > 0 && next.locate(offset, length, range);
    }

    @Override
    public void located(long offset, int length, long nanos) {
        locatedBytes += length;
    }

    @Override
    public void close(Completion completion) {
        next.close(completion);
    }
}
