package dev.ferry.migration;

import com.fasterxml.jackson.annotation.JsonValue;
import java.util.Locale;

/** How a migration is doing. */
public enum MigrationState {
    /** At work. */
    RUNNING,
    /** Somebody paused it; writes of the guest still go to both sides where they have to. */
    PAUSED,
    /** It cannot go on for a reason that may pass, such as a full target; the guest runs on, and resume tries again. */
    PARKED,
    /** The guest is on the target; the way back is open, or something is left to do, such as deleting the source. */
    SWITCHED,
    /** All is done. */
    DONE,
    /** It could not be done; the guest is where it was. */
    FAILED,
    /** Somebody called it off; the guest is where it was. */
    CANCELLED,
    /** The guest has been taken back to the source after it had been on the target. */
    ROLLED_BACK;

    /** As it is written in listings and JSON, such as {@code rolled-back}. */
    @JsonValue
    public String text() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** Nothing will happen any more. */
    public boolean over() {
        return switch (this) {
            case RUNNING, PAUSED, PARKED, SWITCHED -> false;
            case DONE, FAILED, CANCELLED, ROLLED_BACK -> true;
        };
    }
}
