package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.filter.mirror.Mirror;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Where a side has something to copy within a window, as runs in order: data; and where both sides lie over the same, all that it has of
 * its own, zeroes that hide what is below among it. If there are too many to note, what comes after them counts as such. Used again for
 * each window.
 */
final class DataMap implements ExtentSink, Completion {
    private final Asked side;
    private final long belowBytes;
    private final long[] starts;
    private final long[] ends;
    private int runs;
    private long from;
    private long end;
    private long known;
    private @Nullable Completion completion;
    private boolean asking;
    private boolean endedInline;
    private boolean rough;

    /** Answers what is where. */
    @FunctionalInterface
    interface Asked {
        void extents(long offset, long length, ExtentSink sink, Completion completion);
    }

    /** What of a mirror's source is to be copied. */
    static DataMap ofSource(Mirror mirror, int runsMax) {
        BlockDevice source = mirror.source();
        long below = mirror.belowBytes();
        return new DataMap(below > 0 ? source::ownExtents : source::extents, below, runsMax);
    }

    /** What a mirror's target has of its own. */
    static DataMap ofTarget(Mirror mirror, int runsMax) {
        return new DataMap(mirror::targetOwnExtents, mirror.belowBytes(), runsMax);
    }

    private DataMap(Asked side, long belowBytes, int runsMax) {
        this.side = side;
        this.belowBytes = belowBytes;
        this.starts = new long[runsMax];
        this.ends = new long[runsMax];
    }

    /** True if this map says what is in all of a range. */
    boolean covers(long rangeFrom, long rangeEnd) {
        return from <= rangeFrom && rangeEnd <= known;
    }

    /** True if there were too many runs to note, so that some of what counts as one is none. */
    boolean rough() {
        return rough;
    }

    void forget() {
        from = 0;
        known = 0;
        end = 0;
        runs = 0;
        rough = false;
    }

    /** Asks the device for the map of a window. */
    void ask(long windowFrom, long windowEnd, Completion whenKnown) {
        from = windowFrom;
        end = windowEnd;
        known = windowFrom;
        runs = 0;
        rough = false;
        completion = whenKnown;
        askRest();
    }

    /** A cycle and not a recursion where the device answers inline, in parts. */
    private void askRest() {
        do {
            asking = true;
            endedInline = false;
            side.extents(known, end - known, this, this);
            asking = false;
        } while (endedInline && known < end);
        if (endedInline) {
            Objects.requireNonNull(completion).complete(null);
        }
    }

    @Override
    public void extent(long offset, long length, int state) {
        long extentEnd = Math.min(end, offset + length);
        long split = Math.clamp(belowBytes, offset, extentEnd);
        if (split > offset && state != HOLE) {
            addRun(offset, split);
        }
        if (extentEnd > split && state == 0) {
            addRun(split, extentEnd);
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
        if (runs > 0 && (ends[runs - 1] >= runFrom || runs == starts.length)) {
            rough |= ends[runs - 1] < runFrom;
            ends[runs - 1] = Math.max(ends[runs - 1], runEnd);
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
        rough = false;
        for (int i = other.firstRunAfter(rangeFrom); i < other.runs && other.starts[i] < rangeEnd; i++) {
            addRun(Math.max(rangeFrom, other.starts[i]), Math.min(rangeEnd, other.ends[i]));
        }
    }

    /** Takes over what another map has of the same window besides. */
    void join(DataMap other) {
        long[] ownStarts = Arrays.copyOf(starts, runs);
        long[] ownEnds = Arrays.copyOf(ends, runs);
        runs = 0;
        int mine = 0;
        int theirs = 0;
        while (mine < ownStarts.length || theirs < other.runs) {
            boolean first =
                    theirs == other.runs || (mine < ownStarts.length && ownStarts[mine] <= other.starts[theirs]);
            if (first) {
                addRun(ownStarts[mine], ownEnds[mine++]);
            } else {
                addRun(other.starts[theirs], other.ends[theirs++]);
            }
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
