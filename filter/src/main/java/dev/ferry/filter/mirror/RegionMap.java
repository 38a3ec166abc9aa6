package dev.ferry.filter.mirror;

import dev.ferry.block.Invariant;

/** One bit for each region of a disk. Ranges are from, inclusive, to end, exclusive. */
final class RegionMap {
    private final long regions;
    private final long[] words;
    private long count;

    RegionMap(long regions) {
        this.regions = regions;
        this.words = new long[Math.toIntExact((regions + 63) >>> 6)];
    }

    boolean has(long region) {
        return (words[(int) (region >>> 6)] & (1L << region)) != 0;
    }

    /** How many bits are set. */
    long count() {
        return count;
    }

    void set(long region) {
        change((int) (region >>> 6), 1L << region, true);
    }

    void set(long from, long end) {
        change(from, end, true);
    }

    void clear(long from, long end) {
        change(from, end, false);
    }

    /** The first set region at or after {@code from}, or the number of regions. */
    long nextSet(long from) {
        return next(from, 0);
    }

    /** The first clear region at or after {@code from}, or the number of regions. */
    long nextClear(long from) {
        return next(from, -1);
    }

    private long next(long from, long flip) {
        if (from >= regions) {
            return regions;
        }
        int word = (int) (from >>> 6);
        long bits = (words[word] ^ flip) & (-1L << from);
        while (bits == 0) {
            if (++word == words.length) {
                return regions;
            }
            bits = words[word] ^ flip;
        }
        return Math.min(regions, ((long) word << 6) + Long.numberOfTrailingZeros(bits));
    }

    private void change(long from, long end, boolean value) {
        Invariant.that(from >= 0 && from <= end && end <= regions, "range of regions");
        long at = from;
        while (at < end) {
            long bits = -1L << at;
            long nextWord = (at | 63) + 1;
            if (end < nextWord) {
                bits &= ~(-1L << end);
            }
            change((int) (at >>> 6), bits, value);
            at = nextWord;
        }
    }

    private void change(int word, long bits, boolean value) {
        long before = words[word];
        long after = value ? before | bits : before & ~bits;
        words[word] = after;
        count += Long.bitCount(after) - Long.bitCount(before);
    }
}
