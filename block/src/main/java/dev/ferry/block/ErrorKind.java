package dev.ferry.block;

/** What kind of error ended a request. Callers decide on this alone. */
public enum ErrorKind {
    /** The medium or the kernel failed the request. */
    IO,
    /** The store below has no room. */
    NO_SPACE,
    /** The device does not take changes. */
    READ_ONLY,
    /** The caller broke the contract: range, alignment, flags. */
    INVALID,
    /** The device cannot do this, or not in the way that was asked. */
    UNSUPPORTED,
    /** Rights are missing. */
    ACCESS,
    /** The thing named is not there. */
    NOT_FOUND,
    /** Something else holds what is wanted. */
    BUSY,
    /** The device is closed, or closing. */
    CLOSED,
    /** The far side is away; it may come back. */
    UNAVAILABLE,
    /** A bound on time passed. */
    TIMED_OUT,
    /** A bound on memory or number was reached. */
    NO_MEMORY,
    /** Metadata contradicts itself. */
    CORRUPT,
    /** Somebody called it off. */
    CANCELLED
}
