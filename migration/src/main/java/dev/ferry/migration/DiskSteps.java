package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.image.ImageFormat;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.Disowned;
import dev.ferry.migration.journal.StepFile;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.migration.journal.StepKey;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where the record of regions in step of one moving disk is kept: of the way to the target, or of the way back, which has
 * one of its own. Calls block.
 */
final class DiskSteps {
    private static final Logger LOG = LoggerFactory.getLogger(DiskSteps.class);
    private static final String BACK = "-back";

    private final StepFiles files;
    private final Executor workers;
    private final String move;
    private final int index;
    private final DiskRecord record;
    private final boolean back;

    /** @param back it is the way back: from the target, which is the disk, to the source */
    DiskSteps(StepFiles files, Executor workers, String move, int index, DiskRecord record, boolean back) {
        this.files = files;
        this.workers = workers;
        this.move = move;
        this.index = index;
        this.record = record;
        this.back = back;
    }

    /** What was kept. A disk that is not the file that it was has nothing in common with what was copied of it. */
    StepFiles.Found read(int regionBytes, ImageFormat diskFormat) throws BlockException {
        Path file = back ? record.targetFile() : record.sourceFile();
        String recorded = back ? targetIdentity() : record.sourceIdentity();
        String disk = DiskFiles.isFile(file, recorded) ? recorded : DiskFiles.identityOf(file);
        // A format that keeps metadata in this process until it is flushed has lost some of it with the process.
        ImageFormat other = back ? TargetMaker.formerOf(record) : TargetMaker.formatOf(record);
        return files.read(key(disk, regionBytes), !diskFormat.grows() && !other.grows(), mirroredTo());
    }

    /**
     * Opens the record, with what was found, or anew.
     *
     * @return null if it cannot be kept: a crash then makes all to be copied again
     * @throws BlockException if an old one is in the way, and would be believed after a crash though it is not true
     */
    @Nullable
    StepFile open(StepFiles.@Nullable Found found, int regionBytes, Loop loop) throws BlockException {
        StepKey key = key(regionBytes);
        return open(key, found == null ? StepFiles.nothing(key) : found, loop);
    }

    /**
     * Opens a new record of two sides that are equal, or will be before it means anything.
     *
     * @param firm regions, 64 to a word, of which it is recorded that they are so whatever happens
     * @return null if it cannot be kept
     */
    @Nullable
    StepFile openInStep(long[] firm, int regionBytes, Loop loop) throws BlockException {
        StepKey key = key(regionBytes);
        return open(key, StepFiles.inStep(key, firm), loop);
    }

    private @Nullable StepFile open(StepKey key, StepFiles.Found begun, Loop loop) throws BlockException {
        try {
            StepFile opened =
                    files.open(key, begun, loop, workers, () -> Disowned.say(mirroredTo(), key), this::lastResort);
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
            Disowned.takeBack(mirroredTo());
        } catch (IOException | UnsupportedOperationException e) {
            LOG.debug("disk {}: nothing said at the target is taken back: {}", record.name(), e.getMessage());
        }
    }

    /** The side that is kept in step. */
    private Path mirroredTo() {
        return back ? record.sourceFile() : record.targetFile();
    }

    /** The record means nothing without the target that it was made for. A source is not to be deleted for that. */
    private void lastResort() throws BlockException {
        if (back) {
            throw Planner.refusal(
                    ErrorKind.IO, "the record of the way back", "it cannot be deleted; the source is left alone");
        }
        DiskFiles.discard(record.targetFile(), Objects.requireNonNull(record.targetIdentity()));
    }

    void delete() throws BlockException {
        delete(files, name(), index);
    }

    /** Takes away what there is of a disk's records, of the way there and of the way back. */
    static void deleteAll(StepFiles files, String move, int index) throws BlockException {
        delete(files, move, index);
        delete(files, move + BACK, index);
    }

    private static void delete(StepFiles files, String name, int index) throws BlockException {
        try {
            files.delete(name, index);
        } catch (IOException e) {
            throw Planner.refusal(
                    ErrorKind.IO, "the record of what was copied", "it cannot be deleted: " + e.getMessage());
        }
    }

    private String name() {
        return back ? move + BACK : move;
    }

    private String targetIdentity() {
        return Objects.requireNonNull(record.targetIdentity());
    }

    private StepKey key(int regionBytes) {
        return key(back ? targetIdentity() : record.sourceIdentity(), regionBytes);
    }

    private StepKey key(String disk, int regionBytes) {
        String other = back ? record.sourceIdentity() : targetIdentity();
        return new StepKey(name(), index, disk, other, record.sizeBytes(), regionBytes);
    }
}
