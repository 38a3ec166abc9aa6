package dev.ferry.filter.snapshot;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.Geometry;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import org.jspecify.annotations.Nullable;

/**
 * A disk whose base can be made to stand still: requests go to the layer on top, which reads what it has not got from
 * those below and leaves them alone. A layer is put on top, or all are taken away again, while nothing is in flight: the
 * gate above is quiesced.
 *
 * <p>Thread: the loop's.
 */
public final class Layers implements BlockDevice {
    private final BlockDevice base;
    private BlockDevice top;
    /** Below the top, with changes that no flush has followed; null if there are none. */
    private @Nullable BlockDevice unflushed;

    public Layers(BlockDevice base) {
        this.base = base;
        this.top = base;
    }

    public BlockDevice base() {
        return base;
    }

    public BlockDevice top() {
        return top;
    }

    /** True if something is on top of the base. */
    public boolean layered() {
        return top != base;
    }

    /** Puts a layer on top. What was on top until now is flushed with the next flush; before that no other is put on top. */
    public void push(BlockDevice layer) {
        Invariant.that(unflushed == null, "a layer on one that is not flushed");
        unflushed = top;
        replace(layer);
    }

    /**
     * Sends requests to something else, such as {@link #base}, which has all that the layers have, and sees to what of it is
     * not durable. Nothing is closed by that.
     */
    public void replace(BlockDevice other) {
        Geometry shape = other.geometry();
        Invariant.that(
                shape.sizeBytes() == base.geometry().sizeBytes()
                        && shape.blockSizeBytes() <= base.geometry().blockSizeBytes(),
                "layer of another shape");
        top = other;
    }

    @Override
    public Geometry geometry() {
        return base.geometry();
    }

    /** Those of the layer on top: what it cannot do fast is not promised. */
    @Override
    public Capabilities capabilities() {
        return top.capabilities();
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        top.read(offset, buffer, at, length, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        top.write(offset, buffer, at, length, flags, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        top.writeZeroes(offset, length, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        top.discard(offset, length, flags, completion);
    }

    /** What the guest wrote before the last layer came must be as durable as what it wrote since. */
    @Override
    public void flush(Completion completion) {
        BlockDevice below = unflushed;
        if (below == null) {
            top.flush(completion);
            return;
        }
        below.flush(error -> {
            if (error != null) {
                completion.complete(error);
                return;
            }
            if (unflushed == below) {
                unflushed = null;
            }
            top.flush(completion);
        });
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        top.extents(offset, length, sink, completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return top.locate(offset, length, range);
    }

    @Override
    public void located(long offset, int length, long nanos) {
        top.located(offset, length, nanos);
    }

    /** Closes the layers, which do not close what is below them, and then the base. */
    @Override
    public void close(Completion completion) {
        if (top == base) {
            base.close(completion);
        } else {
            top.close(error -> base.close(baseError -> completion.complete(first(error, baseError))));
        }
    }

    private static @Nullable BlockError first(@Nullable BlockError one, @Nullable BlockError other) {
        return one != null ? one : other;
    }
}
