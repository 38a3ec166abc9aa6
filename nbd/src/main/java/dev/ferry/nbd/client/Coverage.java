package dev.ferry.nbd.client;

import java.util.Arrays;

/**
 * Which parts of a read have come, in whatever order. A server that sends a part twice, or leaves one out and says that
 * it is done, is found out.
 */
final class Coverage {
    private static final int PIECES_MAX = 4096;

    private long[] from = new long[4];
    private long[] to = new long[4];
    private int pieces;
    private long covered;

    void clear() {
        pieces = 0;
        covered = 0;
    }

    long coveredBytes() {
        return covered;
    }

    /** Takes note of a part; false if it overlaps another, or if there are absurdly many. */
    boolean add(long offset, long length) {
        long end = offset + length;
        int neighbour = -1;
        for (int i = pieces - 1; i >= 0; i--) {
            if (offset < to[i] && from[i] < end) {
                return false;
            }
            if (to[i] == offset) {
                neighbour = i;
            }
        }
        covered += length;
        if (neighbour >= 0) {
            to[neighbour] = end;
            return true;
        }
        if (pieces == PIECES_MAX) {
            return false;
        }
        if (pieces == from.length) {
            from = Arrays.copyOf(from, pieces * 2);
            to = Arrays.copyOf(to, pieces * 2);
        }
        from[pieces] = offset;
        to[pieces++] = end;
        return true;
    }
}
