package dev.ferry.image.qcow2;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import org.jspecify.annotations.Nullable;

/**
 * Work in the background that takes several requests, one after the other. A request that ends inline does not make it
 * recurse.
 */
abstract class Steps implements Completion {
    private boolean advancing;
    private boolean again;
    private @Nullable BlockError error;

    /** Goes on with the next step. */
    final void advance() {
        again = true;
        if (advancing) {
            return;
        }
        advancing = true;
        boolean done = false;
        while (again && !done) {
            again = false;
            done = error != null || step();
        }
        advancing = false;
        if (done) {
            ended(error);
        }
    }

    @Override
    public final void complete(@Nullable BlockError requestError) {
        if (requestError != null) {
            error = requestError;
        }
        advance();
    }

    /** There is nothing to wait for: the next step may follow at once. */
    final boolean goOn() {
        again = true;
        return false;
    }

    /**
     * Does one thing, and has either submitted one request that ends at this, or called {@link #goOn}.
     *
     * @return true if there is nothing left to do
     */
    abstract boolean step();

    /** All is done, or a request failed. */
    abstract void ended(@Nullable BlockError error);
}
