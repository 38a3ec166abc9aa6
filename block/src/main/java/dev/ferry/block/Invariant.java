package dev.ferry.block;

import java.io.Serial;

/** Checks of what must hold whatever happens outside. Always on. */
public final class Invariant {
    private Invariant() {}

    /** Stops the caller if {@code holds} is false. The message is a constant, so that a check costs a branch. */
    public static void that(boolean holds, String message) {
        if (!holds) {
            throw new Broken(message);
        }
    }

    /** An invariant did not hold: a defect of Ferry. The disk that it happened on stops; the others go on. */
    public static final class Broken extends IllegalStateException {
        @Serial
        private static final long serialVersionUID = 1L;

        Broken(String message) {
            super("invariant broken: " + message);
        }
    }
}
