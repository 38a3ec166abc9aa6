package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.Loop;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.image.ImageFormat;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.Disowned;
import dev.ferry.migration.journal.StepFile;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.migration.journal.StepKey;
import java.io.IOException;
import java.util.Objects;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Where the record of regions in step of one moving disk is kept. Calls block. */
final class DiskSteps {
    private static final Logger LOG = LoggerFactory.getLogger(DiskSteps.class);

    private final StepFiles files;
    private final Executor workers;
    private final String move;
    private final int index;
    private final DiskRecord record;

    DiskSteps(StepFiles files, Executor workers, String move, int index, DiskRecord record) {
        this.files = files;
        this.workers = workers;
        this.move = move;
        this.index = index;
        this.record = record;
    }

    /** What was kept. A source that is not the file that it was has nothing in common with what was copied of it. */
    StepFiles.Found read(int regionBytes, ImageFormat sourceFormat) throws BlockException {
        String source = DiskFiles.identityOf(record.sourceFile());
        // A format that keeps metadata in this process until it is flushed has lost some of it with the process.
        boolean throughout =
                !sourceFormat.grows() && !TargetMaker.formatOf(record).grows();
        return files.read(key(source, regionBytes), throughout, record.targetFile());
    }

    /**
     * Opens the record, with what was found, or anew.
     *
     * @return null if it cannot be kept: a crash then makes all to be copied again
     * @throws BlockException if an old one is in the way, and would be believed after a crash though it is not true
     */
    @Nullable
    StepFile open(StepFiles.@Nullable Found found, int regionBytes, Loop loop) throws BlockException {
        StepKey key = key(record.sourceIdentity(), regionBytes);
        try {
            StepFiles.Found begun = found == null ? StepFiles.nothing(key) : found;
            StepFile opened = files.open(
                    key, begun, loop, workers, () -> Disowned.say(record.targetFile(), key), this::lastResort);
            takeBack();
            return opened;
        } catch (IOException e) {
            LOG.error("disk {}: what is copied cannot be recorded: {}", record.name(), e.getMessage());
            delete();
            return null;
        }
    }

    private void takeBack() {
        try {
            Disowned.takeBack(record.targetFile());
        } catch (IOException | UnsupportedOperationException e) {
            LOG.debug("disk {}: nothing said at the target is taken back: {}", record.name(), e.getMessage());
        }
    }

    /** The record means nothing without the target that it was made for. */
    private void lastResort() throws BlockException {
        DiskFiles.discard(record.targetFile(), Objects.requireNonNull(record.targetIdentity()));
    }

    void delete() throws BlockException {
        delete(files, move, index);
    }

    static void delete(StepFiles files, String move, int index) throws BlockException {
        try {
            files.delete(move, index);
        } catch (IOException e) {
            throw Planner.refusal(
                    dev.ferry.block.ErrorKind.IO,
                    "the record of what was copied",
                    "it cannot be deleted: " + e.getMessage());
        }
    }

    private StepKey key(String source, int regionBytes) {
        return new StepKey(
                move, index, source, Objects.requireNonNull(record.targetIdentity()), record.sizeBytes(), regionBytes);
    }
}
