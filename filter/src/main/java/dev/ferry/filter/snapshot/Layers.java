package dev.ferry.filter.snapshot;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ForwardingDevice;
import dev.ferry.block.Geometry;
import dev.ferry.block.Invariant;
import org.jspecify.annotations.Nullable;

/**
 * A disk whose base can be made to stand still: requests go to the layer on top, which reads what it has not got from
 * those below and leaves them alone. A layer is put on top, or all are taken away again, while nothing is in flight: the
 * gate above is quiesced. What the disk can do is what the layer on top can do: what that cannot do fast is not promised.
 *
 * <p>Thread: the loop's.
 */
public final class Layers extends ForwardingDevice {
    private final BlockDevice base;
    /** Below the top, with changes that no flush has followed; null if there are none. */
    private @Nullable BlockDevice unflushed;

    public Layers(BlockDevice base) {
        super(base);
        this.base = base;
    }

    public BlockDevice base() {
        return base;
    }

    public BlockDevice top() {
        return next;
    }

    /** True if something is on top of the base. */
    public boolean layered() {
        return next != base;
    }

    /** Puts a layer on top. What was on top until now is flushed with the next flush; before that no other is put on top. */
    public void push(BlockDevice layer) {
        Invariant.that(unflushed == null, "a layer on one that is not flushed");
        unflushed = next;
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
        next = other;
    }

    @Override
    public Geometry geometry() {
        return base.geometry();
    }

    /** What the guest wrote before the last layer came must be as durable as what it wrote since. */
    @Override
    public void flush(Completion completion) {
        BlockDevice below = unflushed;
        if (below == null) {
            next.flush(completion);
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
            next.flush(completion);
        });
    }

    /** Closes the layers, which do not close what is below them, and then the base. */
    @Override
    public void close(Completion completion) {
        if (next == base) {
            base.close(completion);
        } else {
            next.close(error -> base.close(baseError -> completion.complete(first(error, baseError))));
        }
    }

    private static @Nullable BlockError first(@Nullable BlockError one, @Nullable BlockError other) {
        return one != null ? one : other;
    }
}
