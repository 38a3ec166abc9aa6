package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.Mirror;
import org.jspecify.annotations.Nullable;

/**
 * Counts the data of a disk by its map, once, beside the copy: what there is to do, and what of it was done when a move went
 * on that had been interrupted. Nothing but progress hangs on it.
 */
final class Survey implements ExtentSink, Completion {
    private static final long STEP_BYTES = 1L << 30;

    private final Loop loop;
    private final Mirror mirror;
    private final BlockDevice device;
    private final long sizeBytes;
    private final Runnable ask = this::ask;
    private boolean running;
    private boolean asking;
    private long position;
    private long dataBytes;
    private long keptBytes;

    Survey(Loop loop, Mirror mirror) {
        this.loop = loop;
        this.mirror = mirror;
        this.device = mirror.source();
        this.sizeBytes = device.geometry().sizeBytes();
    }

    void start() {
        running = true;
        if (!done() && !asking) {
            asking = true;
            loop.execute(ask);
        }
    }

    void stop() {
        running = false;
    }

    boolean done() {
        return position == sizeBytes;
    }

    long dataBytes() {
        return dataBytes;
    }

    /** Of the data, what was in step when the move went on. */
    long keptBytes() {
        return keptBytes;
    }

    private void ask() {
        if (running) {
            long length = Math.min(STEP_BYTES, sizeBytes - position);
            if (mirror.belowBytes() > 0) {
                device.ownExtents(position, length, this, this);
            } else {
                device.extents(position, length, this, this);
            }
        } else {
            asking = false;
        }
    }

    @Override
    public void extent(long offset, long length, int state) {
        if (state == 0 || (state != HOLE && offset < mirror.belowBytes())) {
            dataBytes += length;
            keptBytes += mirror.keptBytes(offset, length);
        }
        position = offset + length;
    }

    @Override
    public void complete(@Nullable BlockError error) {
        if (error != null || done()) {
            asking = false;
        } else {
            loop.execute(ask);
        }
    }
}
