package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Where a device has data within a window, as runs in order. If there are too many to note, what comes after them counts
 * as data. Used again for each window.
 */
final class DataMap implements ExtentSink, Completion {
    private final BlockDevice device;
    private final long[] starts;
    private final long[] ends;
    private int runs;
    private long from;
    private long end;
    private long known;
    private @Nullable Completion completion;
    private boolean asking;
    private boolean endedInline;

    DataMap(BlockDevice device, int runsMax) {
        this.device = device;
        this.starts = new long[runsMax];
        this.ends = new long[runsMax];
    }

    /** True if this map says what is in all of a range. */
    boolean covers(long rangeFrom, long rangeEnd) {
        return from <= rangeFrom && rangeEnd <= known;
    }

    void forget() {
        from = 0;
        known = 0;
        end = 0;
        runs = 0;
    }

    /** Asks the device for the map of a window. */
    void ask(long windowFrom, long windowEnd, Completion whenKnown) {
        from = windowFrom;
        end = windowEnd;
        known = windowFrom;
        runs = 0;
        completion = whenKnown;
        askRest();
    }

    /** A cycle and not a recursion where the device answers inline, in parts. */
    private void askRest() {
        do {
            asking = true;
            endedInline = false;
            device.extents(known, end - known, this, this);
            asking = false;
        } while (endedInline && known < end);
        if (endedInline) {
            Objects.requireNonNull(completion).complete(null);
        }
    }

    @Override
    public void extent(long offset, long length, int state) {
        long extentEnd = Math.min(end, offset + length);
        if (state == 0) {
            addRun(offset, extentEnd);
        }
        known = extentEnd;
    }

    @Override
    public void complete(@Nullable BlockError error) {
        if (error != null) {
            endedInline = false;
            known = from;
            Objects.requireNonNull(completion).complete(error);
        } else if (asking) {
            endedInline = true;
        } else if (known < end) {
            askRest();
        } else {
            Objects.requireNonNull(completion).complete(null);
        }
    }

    private void addRun(long runFrom, long runEnd) {
        if (runs > 0 && (ends[runs - 1] == runFrom || runs == starts.length)) {
            ends[runs - 1] = runEnd;
            return;
        }
        starts[runs] = runFrom;
        ends[runs] = runEnd;
        runs++;
    }

    /** Takes over what another map says about a range. */
    void copy(DataMap other, long rangeFrom, long rangeEnd) {
        from = rangeFrom;
        end = rangeEnd;
        known = rangeEnd;
        runs = 0;
        for (int i = other.firstRunAfter(rangeFrom); i < other.runs && other.starts[i] < rangeEnd; i++) {
            addRun(Math.max(rangeFrom, other.starts[i]), Math.min(rangeEnd, other.ends[i]));
        }
    }

    /** The first byte of data at or after a position, or {@code limit}. */
    long nextData(long position, long limit) {
        int run = firstRunAfter(position);
        return run == runs ? limit : Math.min(limit, Math.max(position, starts[run]));
    }

    /** Where the data ends that {@code position} lies in. */
    long dataEnd(long position, long limit) {
        int run = firstRunAfter(position);
        return run == runs ? limit : Math.min(limit, ends[run]);
    }

    /** Bytes of data in the window. */
    long dataBytes() {
        long bytes = 0;
        for (int i = 0; i < runs; i++) {
            bytes += ends[i] - starts[i];
        }
        return bytes;
    }

    /** The first run that ends after a position. */
    private int firstRunAfter(long position) {
        int low = 0;
        int high = runs;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (ends[middle] <= position) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }
}
