package dev.ferry.migration;

import com.fasterxml.jackson.annotation.JsonValue;
import java.util.Locale;

/** Where a migration is, in the order in which it gets there. Each is written down before it is acted on. */
public enum Phase {
    /** It has been looked at and taken on; nothing has been made yet. */
    PREPARE,
    /** The targets are made. */
    CREATE,
    /** Mirrors are on, and all that there was is copied. */
    COPY,
    /** Both sides are read and compared. */
    VERIFY,
    /** Targets get their names, and disk after disk the guest is put on them. */
    SWITCH,
    /** The guests are on the targets, and the sources are kept in step: the way back is open. */
    KEEP,
    /** The guests go back to the sources; decided as soon as the journal says that the sources are the disks. */
    ROLLBACK,
    /** The inventory follows, and the sources are deleted. */
    COMMIT,
    /** The move is being undone: targets that hold no authority are deleted. */
    UNDO,
    /** It is over, one way or another. */
    END;

    @JsonValue
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }
}
