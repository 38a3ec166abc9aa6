package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;

/** Hears of what nobody asked for. On the loop. */
@FunctionalInterface
public interface MirrorListener {
    /**
     * The target erred or stalled. The mirror has let go already and the guest goes on, on the source alone. Called once
     * for each time that a target was attached, on the loop.
     */
    void targetLost(BlockError why);

    /** The record of what is in step could not be kept and is void: after a crash, all would have to be copied again. */
    default void recordLost(BlockError why) {}
}
