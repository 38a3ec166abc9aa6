package dev.ferry.device;

/**
 * A run of data in a file, as far as it was once found to go. To find its end a file system may look at each page of it, with
 * the file locked (tmpfs does, others where room is reserved and not written): asked once for each piece of a long run, that
 * takes the square of its length, and those who write to the file wait meanwhile.
 *
 * <p>Only data is remembered, which is never wrong: what has become a hole since reads as zeroes. Holes that this process makes
 * are taken out at once all the same.
 *
 * <p>Thread: the file's loop.
 */
final class KnownData {
    private long from;
    private long to;
    private long age;

    /** @return how far there is data from an offset on, or that offset */
    long endFrom(long offset) {
        return offset >= from && offset < to ? to : offset;
    }

    /** What was found by somebody who began at this age may be remembered, if nothing has become older since. */
    long age() {
        return age;
    }

    void learn(long ageThen, long begin, long end) {
        if (ageThen == age) {
            from = begin;
            to = end;
        }
    }

    /** Holes are made in a range, or have been: the longer part of the run beside them stays. */
    void holes(long offset, long length) {
        age++;
        long end = offset + length;
        if (offset >= to || end <= from) {
            return;
        }
        long before = offset - from;
        long behind = to - end;
        if (before >= behind) {
            to = Math.max(offset, from);
        } else {
            from = end;
        }
    }

    void forget() {
        age++;
        to = from;
    }
}
