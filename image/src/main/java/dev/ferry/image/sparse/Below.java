package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;

/**
 * What shows through where a part of a delta disk has nothing: its parent, and zeroes behind the end of that.
 *
 * @param from where the part begins in the parent
 */
public record Below(BlockDevice device, long from) {
    private long there(long offset, long length) {
        return Math.clamp(device.geometry().sizeBytes() - from - offset, 0, length);
    }

    void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        int there = (int) there(offset, length);
        buffer.zero(at + there, length - there);
        if (there == 0) {
            completion.complete(null);
        } else {
            device.read(from + offset, buffer, at, there, completion);
        }
    }

    /** How much of a part of so many bytes shows through where that has nothing. */
    long bytes(long length) {
        return there(0, length);
    }

    /** It may stop early. */
    void extents(long offset, long length, ExtentSink sink, Completion completion) {
        long there = there(offset, length);
        if (there == 0) {
            sink.extent(offset, length, ExtentSink.HOLE | ExtentSink.ZERO);
            completion.complete(null);
        } else {
            device.extents(
                    from + offset, there, (at, bytes, state) -> sink.extent(at - from, bytes, state), completion);
        }
    }
}
