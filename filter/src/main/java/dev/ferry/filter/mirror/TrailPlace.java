package dev.ferry.filter.mirror;

import org.jspecify.annotations.Nullable;

/** Where a change is in a trail. Belongs to its change, and is used again with it. */
final class TrailPlace {
    final Change change;
    /** From the moment that it enters until the trail has no use for it any more. */
    boolean in;
    /** Ended on both sides; those before it are not yet. */
    boolean left;
    /** The guest is answered when the source has ended it. */
    boolean early;
    /** Earlier changes of the same blocks that the target has not ended. */
    int blockers;
    /** The target is to be asked as soon as nothing blocks it. */
    boolean wanted;
    /** Will be asked in this turn, or was overtaken by a later change that covers it. */
    boolean queued;

    boolean overtaken;
    int bucket;
    long ringMark;
    long sinceNanos;

    @Nullable
    TrailPlace next;

    @Nullable
    TrailPlace bucketPrevious;

    @Nullable
    TrailPlace bucketNext;

    @Nullable
    TrailPlace nextQueued;

    TrailPlace(Change change) {
        this.change = change;
    }

    /** Asked when the target's leg is to begin. */
    boolean waitsForEarlier() {
        wanted = in && blockers > 0 && !overtaken;
        return wanted;
    }
}
