package dev.ferry.filter.mirror;

import dev.ferry.block.Invariant;
import dev.ferry.filter.Gate;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The changes of a trail in the order of arrival, and which of them the target gets only after which others: those that
 * share a block (rule 6). A change that waits for others, and is covered by a later one, is overtaken: the target never
 * gets it, so that a block that a guest writes again and again costs the target one request at a time and no queue.
 *
 * <p>To find those that share a block, a change of one region is kept with others of regions of the same number, modulo
 * some; changes of several regions are few, and are kept together.
 */
final class TrailOrder {
    private static final int BUCKETS = 1 << 10;
    private static final int WIDE = BUCKETS;
    private static final long BLOCK = Gate.GRANULARITY_BYTES;

    private final int shift;
    private final @Nullable TrailPlace[] buckets = new @Nullable TrailPlace[BUCKETS + 1];
    private @Nullable TrailPlace first;
    private @Nullable TrailPlace last;
    private @Nullable TrailPlace firstQueued;
    private @Nullable TrailPlace lastQueued;
    private int count;

    TrailOrder(int regionShift) {
        this.shift = regionShift;
    }

    /** The oldest that has not ended, or null. */
    @Nullable
    TrailPlace first() {
        return first;
    }

    /** The youngest, or null. */
    @Nullable
    TrailPlace last() {
        return last;
    }

    /** Those that are in it, and those that have ended and came after one that has not. */
    int count() {
        return count;
    }

    void enter(TrailPlace place) {
        Change change = place.change;
        place.in = true;
        place.left = false;
        place.blockers = 0;
        place.wanted = false;
        place.queued = false;
        place.overtaken = false;
        long region = change.offset >>> shift;
        boolean narrow = region == (change.end() - 1) >>> shift;
        place.bucket = narrow ? (int) (region & (BUCKETS - 1)) : WIDE;
        if (narrow) {
            blockIn(buckets[place.bucket], place);
            blockIn(buckets[WIDE], place);
        } else {
            for (TrailPlace earlier = first; earlier != null; earlier = earlier.next) {
                if (!earlier.left) {
                    block(earlier, place);
                }
            }
        }
        append(place);
    }

    private void blockIn(@Nullable TrailPlace bucket, TrailPlace later) {
        for (TrailPlace earlier = bucket; earlier != null; earlier = earlier.bucketNext) {
            block(earlier, later);
        }
    }

    private void block(TrailPlace earlier, TrailPlace later) {
        if (!shareBlocks(earlier.change, later.change)) {
            return;
        }
        Change before = earlier.change;
        Invariant.that(
                before.completion == null || !before.overlaps(later.change.offset, later.change.end()),
                "overlapping changes in flight");
        later.blockers++;
        boolean covered = later.change.offset <= before.offset && before.end() <= later.change.end();
        if (covered && earlier.wanted && !earlier.queued) {
            earlier.overtaken = true;
            queue(earlier);
        }
    }

    private static boolean shareBlocks(Change one, Change other) {
        return (one.offset & -BLOCK) < ((other.end() + BLOCK - 1) & -BLOCK)
                && (other.offset & -BLOCK) < ((one.end() + BLOCK - 1) & -BLOCK);
    }

    private void append(TrailPlace place) {
        count++;
        place.next = null;
        TrailPlace before = last;
        if (before == null) {
            first = place;
        } else {
            before.next = place;
        }
        last = place;
        // At the head: the order within a bucket does not matter.
        TrailPlace head = buckets[place.bucket];
        place.bucketPrevious = null;
        place.bucketNext = head;
        if (head != null) {
            head.bucketPrevious = place;
        }
        buckets[place.bucket] = place;
    }

    /** Has ended on both sides: those that waited for it alone are queued. */
    void leave(TrailPlace place) {
        TrailPlace before = place.bucketPrevious;
        TrailPlace after = place.bucketNext;
        if (before == null) {
            buckets[place.bucket] = after;
        } else {
            before.bucketNext = after;
        }
        if (after != null) {
            after.bucketPrevious = before;
        }
        place.bucketPrevious = null;
        place.bucketNext = null;
        place.left = true;
        if (place.bucket == WIDE) {
            for (TrailPlace later = place.next; later != null; later = later.next) {
                if (!later.left) {
                    unblock(later, place);
                }
            }
        } else {
            unblockIn(buckets[place.bucket], place);
            unblockIn(buckets[WIDE], place);
        }
    }

    private void unblockIn(@Nullable TrailPlace bucket, TrailPlace ended) {
        for (TrailPlace later = bucket; later != null; later = later.bucketNext) {
            if (later.change.sequence > ended.change.sequence) {
                unblock(later, ended);
            }
        }
    }

    private void unblock(TrailPlace later, TrailPlace ended) {
        if (later.blockers > 0
                && shareBlocks(later.change, ended.change)
                && --later.blockers == 0
                && later.wanted
                && !later.queued) {
            queue(later);
        }
    }

    private void queue(TrailPlace place) {
        place.queued = true;
        place.nextQueued = null;
        TrailPlace before = lastQueued;
        if (before == null) {
            firstQueued = place;
        } else {
            before.nextQueued = place;
        }
        lastQueued = place;
    }

    /** One that nothing blocks any more, or that was overtaken; or null. */
    @Nullable
    TrailPlace pollQueued() {
        TrailPlace place = firstQueued;
        if (place != null) {
            firstQueued = place.nextQueued;
            if (firstQueued == null) {
                lastQueued = null;
            }
            place.nextQueued = null;
            place.queued = false;
        }
        return place;
    }

    /** The oldest, if it has left: it is not in the trail any more. */
    @Nullable
    TrailPlace pollLeft() {
        TrailPlace place = first;
        if (place == null || !place.left) {
            return null;
        }
        count--;
        first = place.next;
        if (first == null) {
            last = null;
        }
        place.next = null;
        place.in = false;
        return Objects.requireNonNull(place);
    }
}
