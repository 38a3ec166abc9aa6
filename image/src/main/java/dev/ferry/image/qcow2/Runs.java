package dev.ferry.image.qcow2;

import java.util.Arrays;

/** A list of runs of clusters, for work in the background. */
final class Runs {
    private long[] starts = new long[16];
    private long[] counts = new long[16];
    private int size;

    int size() {
        return size;
    }

    boolean isEmpty() {
        return size == 0;
    }

    long start(int i) {
        return starts[i];
    }

    long count(int i) {
        return counts[i];
    }

    long clusters() {
        long sum = 0;
        for (int i = 0; i < size; i++) {
            sum += counts[i];
        }
        return sum;
    }

    void clear() {
        size = 0;
    }

    /** Adds a run; one that follows the last is made one with it. */
    void add(long start, long count) {
        if (size > 0 && starts[size - 1] + counts[size - 1] == start) {
            counts[size - 1] += count;
            return;
        }
        if (size == starts.length) {
            starts = Arrays.copyOf(starts, 2 * size);
            counts = Arrays.copyOf(counts, 2 * size);
        }
        starts[size] = start;
        counts[size++] = count;
    }

    void addAll(Runs other) {
        for (int i = 0; i < other.size; i++) {
            add(other.starts[i], other.counts[i]);
        }
    }

    /** Takes up to {@code most} clusters from the last run; gives the first of them, and how many by {@link #taken}. */
    long takeLast(long most) {
        int last = size - 1;
        long count = Math.min(most, counts[last]);
        long start = starts[last];
        starts[last] += count;
        counts[last] -= count;
        if (counts[last] == 0) {
            size--;
        }
        taken = count;
        return start;
    }

    private long taken;

    long taken() {
        return taken;
    }

    /** Puts the runs in order and makes those that touch one. */
    void sort() {
        long[][] pairs = new long[size][];
        for (int i = 0; i < size; i++) {
            pairs[i] = new long[] {starts[i], counts[i]};
        }
        Arrays.sort(pairs, (a, b) -> Long.compare(a[0], b[0]));
        size = 0;
        for (long[] pair : pairs) {
            add(pair[0], pair[1]);
        }
    }
}
