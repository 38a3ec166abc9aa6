package dev.ferry.migration.rehearsal;

import com.fasterxml.jackson.annotation.JsonValue;
import java.util.Locale;

/** What a finding of a rehearsal means for the move. */
public enum Verdict {
    /** As a move wants it. */
    OK,
    /** The move would go on, and something of it would be worse than it could be. */
    NOTE,
    /** It was not found out. */
    UNKNOWN,
    /** The move would fail, or park. */
    NO;

    @JsonValue
    public String text() {
        return name().toLowerCase(Locale.ROOT);
    }
}
