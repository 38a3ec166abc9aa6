package dev.ferry.server.api;

import java.io.Serial;

/** A request that was refused or failed, on either end of the wire. The message is one line for people. */
public final class ProblemException extends Exception {
    @Serial
    private static final long serialVersionUID = 1L;

    private final ProblemKind kind;

    public ProblemException(ProblemKind kind, String message) {
        super(message);
        this.kind = kind;
    }

    public ProblemException(ProblemKind kind, String message, Throwable cause) {
        super(message, cause);
        this.kind = kind;
    }

    public ProblemKind kind() {
        return kind;
    }

    /** The message, always there. */
    public String line() {
        return String.valueOf(getMessage());
    }

    public Problem problem() {
        return new Problem(kind, line());
    }
}
