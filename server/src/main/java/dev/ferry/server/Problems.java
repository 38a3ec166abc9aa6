package dev.ferry.server;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;

/** Refusals of the daemon, made in one place so that they read alike. */
public final class Problems {
    private Problems() {}

    public static ProblemException wrongUsage(String line) {
        return new ProblemException(ProblemKind.WRONG_USAGE, line);
    }

    public static ProblemException notFound(String line) {
        return new ProblemException(ProblemKind.NOT_FOUND, line);
    }

    public static ProblemException conflict(String line) {
        return new ProblemException(ProblemKind.CONFLICT, line);
    }

    /** What an error of the rooms below means to a client. */
    public static ProblemException of(BlockException failed) {
        return new ProblemException(kind(failed.kind()), failed.error().message(), failed);
    }

    private static ProblemKind kind(ErrorKind kind) {
        return switch (kind) {
            case UNSUPPORTED -> ProblemKind.WRONG_USAGE;
            case NOT_FOUND -> ProblemKind.NOT_FOUND;
            case INVALID, BUSY -> ProblemKind.CONFLICT;
            case UNAVAILABLE -> ProblemKind.UNAVAILABLE;
            case IO, NO_SPACE, READ_ONLY, ACCESS, CLOSED, TIMED_OUT, NO_MEMORY, CORRUPT, CANCELLED ->
                ProblemKind.FAILED;
        };
    }
}
