package dev.ferry.migration.rehearsal;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Loop;
import dev.ferry.stack.OnLoop;
import java.util.ArrayList;
import java.util.List;

/**
 * What a disk holds, by its map, as far as that was told within a bound of time.
 *
 * <p>Thread: made by the control plane; the sink is called on the loop while that waits.
 */
final class Contents implements ExtentSink {
    private static final int RUNS_MAX = 4096;

    private final long sizeBytes;
    /** Some runs of data, from all over the disk: offset and length. */
    private List<long[]> runs = new ArrayList<>();

    private long dataBytes;
    private long position;
    private int everyRun = 1;
    private int runsSeen;

    private Contents(long sizeBytes) {
        this.sizeBytes = sizeBytes;
    }

    /**
     * Asks for the map, part after part, until all is known or the time is over.
     *
     * @param own only of what the disk does not have from below
     */
    static Contents of(Loop loop, BlockDevice device, boolean own, long nanosMax) throws BlockException {
        Contents contents = new Contents(device.geometry().sizeBytes());
        long began = loop.nanoTime();
        while (!contents.known() && loop.nanoTime() - began < nanosMax) {
            long from = contents.position;
            long length = contents.sizeBytes - from;
            OnLoop.await(loop, end -> {
                if (own) {
                    device.ownExtents(from, length, contents, end);
                } else {
                    device.extents(from, length, contents, end);
                }
            });
            if (contents.position == from) {
                break;
            }
        }
        return contents;
    }

    @Override
    public void extent(long offset, long length, int state) {
        position = offset + length;
        if (state == 0) {
            dataBytes += length;
            if (runsSeen++ % everyRun == 0) {
                note(offset, length);
            }
        }
    }

    /** When there are too many, every second of them goes. */
    private void note(long offset, long length) {
        if (runs.size() == RUNS_MAX) {
            List<long[]> fewer = new ArrayList<>();
            for (int i = 0; i < runs.size(); i += 2) {
                fewer.add(runs.get(i));
            }
            runs = fewer;
            everyRun *= 2;
        }
        runs.add(new long[] {offset, length});
    }

    /** All of the map was told. */
    boolean known() {
        return position == sizeBytes;
    }

    /** How much of the disk was told of. */
    long mappedBytes() {
        return position;
    }

    long dataBytes() {
        return dataBytes;
    }

    /** Up to {@code most} places where {@code length} bytes of data begin, if there is so much in one run, in order. */
    List<Long> samples(int most, int length) {
        long inRuns = 0;
        for (long[] run : runs) {
            inRuns += run[1];
        }
        List<Long> places = new ArrayList<>();
        long step = Math.max(length, inRuns / Math.max(1, most));
        long next = 0;
        long before = 0;
        for (long[] run : runs) {
            while (next < before + run[1] && places.size() < most) {
                places.add(Math.min(run[0] + next - before, Math.max(0, sizeBytes - length)));
                next += step;
            }
            before += run[1];
        }
        return places;
    }
}
