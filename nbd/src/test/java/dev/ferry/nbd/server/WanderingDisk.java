package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.PassingDevice;

/** A disk that says so many times where its bytes lie, and not any more: as one does that moves meanwhile. */
final class WanderingDisk extends PassingDevice {
    private int locatesLeft;
    private boolean failsReads;
    private int reads;
    private long locatedBytes;

    WanderingDisk(BlockDevice next, int locates, boolean failsReads) {
        super(next);
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
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        reads++;
        if (failsReads) {
            completion.complete(BlockError.of(ErrorKind.IO, "wandering", "read", offset, length, "lost on the way"));
        } else {
            next.read(offset, buffer, at, length, completion);
        }
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return locatesLeft-- > 0 && next.locate(offset, length, range);
    }

    @Override
    public void located(long offset, int length, long nanos) {
        locatedBytes += length;
    }
}
