package dev.ferry.migration.journal;

import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Where journals are kept. Thread: one at a time. Calls block. */
public interface Journals {
    /** Begins the journal of a migration with its first record; it is durable, and its name too, when this returns. */
    Journal create(MoveRecord first) throws IOException;

    /** Opens a journal that was read, to write on behind its last record. */
    Journal reopen(Found found) throws IOException;

    /** Replaces a journal by one that begins with this record, in one step that a crash does not tear. */
    Journal rewrite(MoveRecord record) throws IOException;

    /** All journals that there are, each as far as it can be read, oldest first. */
    List<Found> all() throws IOException;

    /** Deletes a journal, because it is over and old, or because nothing was ever done by it. */
    void delete(String id) throws IOException;

    /**
     * A journal as it was found.
     *
     * @param id of its migration
     * @param last its last record; null if none was ever complete, and then nothing was done by it
     * @param endBytes where the next record goes
     * @param damage null if it is sound; else what is wrong with it: whether its last record is the last that was
     *     written cannot be known then, and nobody must act on it
     */
    record Found(
            String id,
            @Nullable MoveRecord last,
            long endBytes,
            @Nullable String damage) {}
}
