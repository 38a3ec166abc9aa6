package dev.ferry.image.qcow2;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Loop;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * What becomes of clusters that the map does not point at any more. Not before that is durable, and not before every
 * read that may still be on its way to them has ended, is a cluster given back to the file system; not before that
 * is durable too is it handed out again, or counted as free. Clusters that somebody else may still point at are only
 * counted down.
 *
 * <p>It runs in the background, a while after the first cluster came in, and when the image is closed. Thread: the disk's
 * loop.
 */
final class Recycler extends Waiter {
    private static final long PAUSE_NANOS = 500_000_000L;

    private final Loop loop;
    private final BlockDevice file;
    private final Refcounts refcounts;
    private final int clusterBits;
    private final Runnable due = this::due;
    private @Nullable Reserve reserve;
    private @Nullable MapWriter map;
    private Runs dropped = new Runs();
    private Runs uncounted = new Runs();
    private final int[] readers = new int[2];
    private int generation;
    private Loop.@Nullable Timer timer;
    private @Nullable Cycle cycle;
    private @Nullable Runnable whenIdle;

    Recycler(Loop loop, BlockDevice file, Refcounts refcounts, int clusterBits) {
        this.loop = loop;
        this.file = file;
        this.refcounts = refcounts;
        this.clusterBits = clusterBits;
    }

    void connect(Reserve itsReserve, MapWriter itsMap) {
        reserve = itsReserve;
        map = itsMap;
    }

    /** The map has just been changed so that it does not point there any more, and it was the only one that did. */
    void drop(long cluster) {
        dropped.add(cluster, 1);
        arrange();
    }

    /** One reference to each of these is no more; there may be others. */
    void uncount(long cluster, long count) {
        for (long i = 0; i < count; i++) {
            uncounted.add(cluster + i, 1);
        }
        arrange();
    }

    private void arrange() {
        if (timer == null && cycle == null) {
            timer = loop.schedule(PAUSE_NANOS, due);
        }
    }

    private void due() {
        timer = null;
        if (cycle == null) {
            cycle = new Cycle();
            cycle.advance();
        }
    }

    // ---- reads in flight

    /** A read begins; its end is told with what this gives. */
    int readBegins() {
        readers[generation]++;
        return generation;
    }

    void readEnded(int itsGeneration) {
        readers[itsGeneration]--;
        Cycle waits = cycle;
        if (waits != null && waits.awaitsReaders && readers[waits.awaited] == 0) {
            waits.awaitsReaders = false;
            waits.advance();
        }
    }

    // ---- the end

    /** Calls back when nothing is going on in the background; cuts the pause short. */
    void settle(Runnable idle) {
        whenIdle = idle;
        somethingEnded();
    }

    /** At the end, once nothing goes on: either there is still something to do, or the end has come. */
    void somethingEnded() {
        Runnable idle = whenIdle;
        if (idle == null || cycle != null || !Objects.requireNonNull(reserve).idle() || !refcounts.idle()) {
            return;
        }
        if (timer != null) {
            timer.cancel();
            timer = null;
        }
        if (!dropped.isEmpty() || !uncounted.isEmpty()) {
            due();
        } else {
            whenIdle = null;
            idle.run();
        }
    }

    @Override
    void resume(@Nullable BlockError error) {
        mapWritten(error);
    }

    @Override
    void mapWritten(@Nullable BlockError error) {
        Objects.requireNonNull(cycle).complete(error);
    }

    private final class Cycle extends Steps {
        private static final int SETTLE = 0;
        private static final int FLUSH = 1;
        private static final int READERS = 2;
        private static final int PUNCH = 3;
        private static final int FLUSH_AGAIN = 4;
        private static final int HAND_OVER = 5;
        private static final int DONE = 6;

        private final Runs mine = dropped;
        private final Runs counted = uncounted;
        private int state = SETTLE;
        private int at;
        private int awaited;
        private boolean awaitsReaders;

        Cycle() {
            dropped = new Runs();
            uncounted = new Runs();
            mine.sort();
        }

        @Override
        boolean step() {
            switch (state++) {
                case SETTLE -> Objects.requireNonNull(map).join(Recycler.this);
                case FLUSH -> file.flush(this);
                case READERS -> {
                    awaited = generation;
                    generation = 1 - generation;
                    if (readers[awaited] == 0) {
                        return goOn();
                    }
                    awaitsReaders = true;
                }
                case PUNCH -> {
                    if (at < mine.size()) {
                        state = PUNCH;
                        int run = at++;
                        file.discard(mine.start(run) << clusterBits, mine.count(run) << clusterBits, 0, this);
                        return false;
                    }
                    return goOn();
                }
                case FLUSH_AGAIN -> {
                    if (mine.isEmpty()) {
                        return goOn();
                    }
                    file.flush(this);
                }
                case HAND_OVER -> {
                    Reserve to = Objects.requireNonNull(reserve);
                    for (int i = 0; i < mine.size(); i++) {
                        if (whenIdle != null || !to.give(mine.start(i), mine.count(i))) {
                            counted.add(mine.start(i), mine.count(i));
                        }
                    }
                    if (counted.isEmpty()) {
                        return true;
                    }
                    counted.sort();
                    refcounts.enter(new Uncount(refcounts, counted, this));
                }
                case DONE -> {
                    return true;
                }
                default -> throw new IllegalStateException("a recycling step too many");
            }
            return false;
        }

        @Override
        void ended(@Nullable BlockError error) {
            // What could not be recycled stays counted, which is a leak and no damage.
            cycle = null;
            if (!dropped.isEmpty() || !uncounted.isEmpty()) {
                arrange();
            }
            somethingEnded();
        }
    }
}
