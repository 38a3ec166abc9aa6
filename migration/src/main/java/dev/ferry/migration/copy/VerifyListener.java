package dev.ferry.migration.copy;

import dev.ferry.block.BlockError;

/** Hears how a verification ended: one of the two, once, on the loop. */
public interface VerifyListener {
    void verified(VerifyResult result);

    /** A side could not be read, the mirror let go of its target, or the verification was stopped. */
    void failed(BlockError why);
}
