package dev.ferry.filter.mirror;

import dev.ferry.block.Invariant;

/** One bit for each region of a disk. Ranges are from, inclusive, to end, exclusive. */
final class RegionMap {
    /** Is told of every word that changes, before the change is acted on. */
    @FunctionalInterface
    interface Words {
        void store(int word, long bits);
    }

    private static final Words NOWHERE = (word, bits) -> {};

    private final long regions;
    private final long[] words;
    private final Words kept;
    private long count;

    RegionMap(long regions) {
        this(regions, new long[wordsFor(regions)], NOWHERE);
    }

    /**
     * A map that begins as it was kept, and is kept on.
     *
     * @param words becomes this map's own
     * @param kept told of what changes from now on
     */
    RegionMap(long regions, long[] words, Words kept) {
        Invariant.that(words.length == wordsFor(regions), "words of a map");
        this.regions = regions;
        this.words = words;
        this.kept = kept;
        for (long word : words) {
            count += Long.bitCount(word);
        }
    }

    RegionMap copy() {
        return new RegionMap(regions, words.clone(), NOWHERE);
    }

    static int wordsFor(long regions) {
        return Math.toIntExact((regions + 63) >>> 6);
    }

    int words() {
        return words.length;
    }

    long word(int word) {
        return words[word];
    }

    /** Replaces 64 bits at once. */
    void word(int word, long bits) {
        long before = words[word];
        if (before != bits) {
            words[word] = bits;
            count += Long.bitCount(bits) - Long.bitCount(before);
            kept.store(word, bits);
        }
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
        word(word, value ? before | bits : before & ~bits);
    }
}
