package dev.ferry.migration.journal;

import java.io.Closeable;
import java.io.IOException;

/** The journal of one migration, open for more. Thread: one at a time. Calls block. */
public interface Journal extends Closeable {
    /** Writes a record; it is durable when this returns. After a failure nobody knows whether it is. */
    void append(MoveRecord record) throws IOException;
}
