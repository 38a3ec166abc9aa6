package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;

/** What follows from the way in which a target was lost. */
public final class TargetLoss {
    private TargetLoss() {}

    /** A target that ran out of room or was only slow has what it was given; of one that failed otherwise nobody knows. */
    public static boolean keepsUnflushed(BlockError lostBy) {
        return lostBy.kind() == ErrorKind.NO_SPACE || lostBy.kind() == ErrorKind.TIMED_OUT;
    }

    static BlockError notAttached() {
        return BlockError.of(ErrorKind.CANCELLED, "mirror", "copy", "the mirror has let go of its target");
    }
}
