package dev.ferry.image.sparse;

import dev.ferry.block.Completion;

/** A map that is in memory whole. */
@FunctionalInterface
public interface KnownMap extends GrainMap {
    @Override
    default boolean knows(long grain) {
        return true;
    }

    @Override
    default void learn(long grain, Completion whenKnown) {
        whenKnown.complete(null);
    }
}
