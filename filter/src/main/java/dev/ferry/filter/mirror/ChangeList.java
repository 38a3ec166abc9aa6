package dev.ferry.filter.mirror;

import dev.ferry.block.Completion;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import org.jspecify.annotations.Nullable;

/** The changes in flight, in the order of arrival, and a store of those to be used again. */
final class ChangeList {
    private final Mirror mirror;
    private @Nullable Change first;
    private @Nullable Change last;
    private @Nullable Change free;

    ChangeList(Mirror mirror) {
        this.mirror = mirror;
    }

    @Nullable
    Change first() {
        return first;
    }

    Change take(
            int kind, long offset, long length, @Nullable IoBuffer buffer, int at, int flags, Completion completion) {
        Change change = free;
        if (change == null) {
            change = new Change(mirror);
        } else {
            free = change.next;
            change.next = null;
        }
        change.kind = kind;
        change.offset = offset;
        change.length = length;
        change.buffer = buffer;
        change.at = at;
        change.flags = flags;
        change.completion = completion;
        return change;
    }

    void recycle(Change change) {
        change.buffer = null;
        change.completion = null;
        change.next = free;
        free = change;
    }

    /** @param alone false if others may overlap it that the guest has been told are done */
    void add(Change change, boolean alone) {
        Invariant.that(!alone || countOverlapping(change.offset, change.end()) == 0, "overlapping changes in flight");
        Change before = last;
        change.previous = before;
        change.next = null;
        if (before == null) {
            first = change;
        } else {
            before.next = change;
        }
        last = change;
    }

    void remove(Change change) {
        Change before = change.previous;
        Change after = change.next;
        if (before == null) {
            first = after;
        } else {
            before.next = after;
        }
        if (after == null) {
            last = before;
        } else {
            after.previous = before;
        }
        change.previous = null;
        change.next = null;
    }

    int countOverlapping(long from, long end) {
        int count = 0;
        for (Change change = first; change != null; change = change.next) {
            if (change.overlaps(from, end)) {
                count++;
            }
        }
        return count;
    }
}
