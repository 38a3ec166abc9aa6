package dev.ferry.image.qcow2;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import org.jspecify.annotations.Nullable;

/** Counts runs of clusters down by one, a few slices at a time, and writes that. Enters {@link Refcounts} and leaves. */
final class Uncount extends Steps {
    private static final int DIRTY_MAX = 16;

    private final Refcounts refcounts;
    private final Runs runs;
    private final Completion completion;
    private int run;
    private long done;

    /** @param runs in order; a cluster may be in them more than once */
    Uncount(Refcounts refcounts, Runs runs, Completion completion) {
        this.refcounts = refcounts;
        this.runs = runs;
        this.completion = completion;
    }

    @Override
    boolean step() {
        while (run < runs.size() && refcounts.dirtySlices() < DIRTY_MAX) {
            long cluster = runs.start(run) + done;
            if (refcounts.hasBlock(cluster)) {
                Refcounts.Slice slice = refcounts.present(cluster);
                if (slice == null) {
                    refcounts.load(cluster, this);
                    return false;
                }
                long count = refcounts.count(slice, cluster);
                if (count > 0) {
                    refcounts.set(slice, cluster, count - 1);
                    refcounts.cursor = count == 1 ? Math.min(refcounts.cursor, cluster) : refcounts.cursor;
                }
            }
            if (++done == runs.count(run)) {
                run++;
                done = 0;
            }
        }
        if (refcounts.dirtySlices() > 0) {
            refcounts.writeOne(this);
            return false;
        }
        return run == runs.size() || goOn();
    }

    @Override
    void ended(@Nullable BlockError error) {
        refcounts.leave(error == null);
        completion.complete(error);
    }
}
