package dev.ferry.server.api;

/** What kind of refusal, and its HTTP status. */
public enum ProblemKind {
    /** The request itself makes no sense. */
    WRONG_USAGE(400),
    /** It names something that is not there. */
    NOT_FOUND(404),
    /** It does not go together with what is. */
    CONFLICT(409),
    /** It was tried, and did not work. */
    FAILED(500),
    /** Not now; later perhaps. */
    UNAVAILABLE(503);

    private final int status;

    ProblemKind(int status) {
        this.status = status;
    }

    public int status() {
        return status;
    }
}
