package dev.ferry.image.sparse;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import org.jspecify.annotations.Nullable;

/** Several requests that are one for whoever asked: ends when {@link #allSubmitted} and each of them has ended. */
final class Pieces implements Completion {
    private final Completion whole;
    private int outstanding = 1;
    private @Nullable BlockError error;

    Pieces(Completion whole) {
        this.whole = whole;
    }

    /** One more is about to be submitted. */
    Pieces more() {
        outstanding++;
        return this;
    }

    void allSubmitted() {
        complete(null);
    }

    @Override
    public void complete(@Nullable BlockError problem) {
        if (problem != null && error == null) {
            error = problem;
        }
        if (--outstanding == 0) {
            whole.complete(error);
        }
    }
}
