package dev.ferry.bench;

import java.util.Locale;

/** What a figure has to reach. */
sealed interface Goal {
    record AtLeast(double bound) implements Goal {}

    record AtMost(double bound) implements Goal {}

    /** Nothing to reach: shown for the reader. */
    record None() implements Goal {}

    default boolean met(double measured) {
        return switch (this) {
            case AtLeast(double bound) -> measured >= bound;
            case AtMost(double bound) -> measured <= bound;
            case None() -> true;
        };
    }

    default String text() {
        return switch (this) {
            case AtLeast(double bound) -> String.format(Locale.ROOT, ">= %s", Report.number(bound));
            case AtMost(double bound) -> String.format(Locale.ROOT, "<= %s", Report.number(bound));
            case None() -> "";
        };
    }

    default String verdict(double measured) {
        return this instanceof None ? "" : met(measured) ? "met" : "MISSED";
    }
}
