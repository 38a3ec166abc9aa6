package dev.ferry.bench;

import java.io.Serial;

/** A measurement that could not be made, and why, in one line for the person who asked for it. */
final class BenchException extends RuntimeException {
    @Serial
    private static final long serialVersionUID = 1;

    BenchException(String message) {
        super(message);
    }

    BenchException(String message, Throwable cause) {
        super(message, cause);
    }
}
