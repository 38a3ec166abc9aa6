package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.StepMap;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.migration.journal.StepFile;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.stack.OnLoop;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The record of what is in step that a mirror keeps: its file and its map. Thread: that of the move, except that the map is
 * the loop's.
 */
final class MirrorSteps {
    private final @Nullable StepFile file;
    private final @Nullable StepMap map;

    private MirrorSteps(@Nullable StepFile file, @Nullable StepMap map) {
        this.file = file;
        this.map = map;
    }

    /**
     * What a record is made for.
     *
     * @param loop the disk's
     * @param regions how many there are
     */
    record Shape(Loop loop, StepSettings settings, int regionBytes, long regions) {
        /** Of a target where nothing is in step yet. */
        MirrorSteps fresh(DiskSteps record) throws BlockException {
            StepFile file = record.open(null, regionBytes, loop);
            return new MirrorSteps(file, file == null ? null : new StepMap(loop, file, settings, regions));
        }

        /** Of a target of which something was kept. */
        MirrorSteps found(StepFiles.Found found, DiskSteps record) throws BlockException {
            StepFile file = record.open(found, regionBytes, loop);
            StepMap map =
                    file == null ? null : new StepMap(loop, file, settings, regions, found.inStep(), found.firm());
            return new MirrorSteps(file, map);
        }

        /**
         * Of two sides that are equal. What was written of late on the way there is not firm on the way back, so that it
         * need not be marked at once.
         *
         * @param forward the record of the way there
         */
        MirrorSteps turned(MirrorSteps forward, DiskSteps record) throws BlockException {
            StepMap before = forward.map;
            int words = Math.toIntExact((regions + Long.SIZE - 1) / Long.SIZE);
            long[] firm = before == null ? new long[words] : OnLoop.get(loop, before::firmNow);
            long[] inStep = new long[words];
            Arrays.fill(inStep, -1L);
            if (regions % Long.SIZE != 0) {
                inStep[words - 1] >>>= Long.SIZE - regions % Long.SIZE;
            }
            StepFile file = record.openInStep(firm, regionBytes, loop);
            return new MirrorSteps(
                    file, new StepMap(loop, file == null ? new UnkeptSteps() : file, settings, regions, inStep, firm));
        }
    }

    /** Null if there is no record to be kept. */
    @Nullable
    StepMap map() {
        return map;
    }

    /** True if a crash leaves something known. */
    boolean kept() {
        return file != null;
    }

    void settle(Loop loop) throws BlockException {
        StepMap record = map;
        if (record != null) {
            OnLoop.run(loop, record::settle);
        }
    }

    void close() {
        if (file != null) {
            file.close();
        }
    }
}
