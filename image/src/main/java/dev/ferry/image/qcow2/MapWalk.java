package dev.ferry.image.qcow2;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import org.jspecify.annotations.Nullable;

/**
 * The answer to one question for extents: goes through the map from a place on, waits for the parts of it that are not in memory, and
 * joins what is alike. Stops early after a number of extents, or of parts of the map. Thread: the disk's loop.
 */
abstract class MapWalk extends Waiter {
    private static final int EXTENTS_MAX = 2048;
    private static final int SLICES_MAX = 256;
    private static final int NOTHING = -1;

    final Qcow2Device device;
    final long end;
    long position;
    private final ExtentSink sink;
    private final Completion completion;
    private long extentFrom;
    private int extentState = NOTHING;
    private int extents;
    private int slices;
    private boolean advancing;
    private boolean again;
    private @Nullable BlockError error;

    MapWalk(Qcow2Device device, long offset, long length, ExtentSink sink, Completion completion) {
        this.device = device;
        this.sink = sink;
        this.completion = completion;
        this.position = offset;
        this.extentFrom = offset;
        this.end = offset + length;
    }

    /** Goes on as far as it can without waiting. @return false if something has to be waited for */
    abstract boolean step();

    final void advance() {
        again = true;
        if (advancing) {
            return;
        }
        advancing = true;
        boolean done = false;
        while (again && !done) {
            again = false;
            done = error != null || step();
        }
        advancing = false;
        if (done) {
            if (error == null) {
                emit();
            }
            completion.complete(error);
        }
    }

    @Override
    final void resume(@Nullable BlockError problem) {
        error = problem;
        advance();
    }

    @Override
    final void mapWritten(@Nullable BlockError problem) {
        throw new IllegalStateException("a question does not wait for the map");
    }

    /** True while there is more to be said, and not yet too much. */
    final boolean more() {
        return position < end && extents < EXTENTS_MAX;
    }

    /** The same, before another part of the map is looked at. */
    final boolean moreSlices() {
        return more() && slices < SLICES_MAX;
    }

    final void sliceTaken() {
        slices++;
    }

    /** What lies from the present position up to {@code to}, where the walk goes on. */
    final void report(long to, int state) {
        if (state != extentState) {
            emit();
            extentFrom = position;
            extentState = state;
        }
        position = to;
    }

    private void emit() {
        if (extentState != NOTHING && position > extentFrom) {
            sink.extent(extentFrom, position - extentFrom, extentState);
            extents++;
        }
    }
}
