package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;

/** Hears of the one thing about a mirror that nobody asked for. */
@FunctionalInterface
public interface MirrorListener {
    /**
     * The target erred or stalled. The mirror has let go already and the guest goes on, on the source alone. Called once
     * for each time that a target was attached, on the loop.
     */
    void targetLost(BlockError why);
}
