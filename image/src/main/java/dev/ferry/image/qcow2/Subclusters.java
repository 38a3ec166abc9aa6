package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

/**
 * What the second word of an extended L2 entry says of the 32 parts of its cluster: bits 0 to 31 that a part is allocated, bits 32
 * to 63 that it reads as zeroes. A part with neither comes from the backing file, whether the cluster has a place or not.
 * Specification: docs/interop/qcow2, section "Extended L2 Entries".
 */
final class Subclusters {
    static final int BITS = 5;
    static final int COUNT = 1 << BITS;
    static final long ALL_ALLOCATED = 0xffff_ffffL;
    static final long ALL_ZERO = ALL_ALLOCATED << COUNT;

    private Subclusters() {}

    /** Bits for the subclusters from one to before another. */
    static int mask(int from, int to) {
        return to - from == COUNT ? -1 : ((1 << (to - from)) - 1) << from;
    }

    static int allocated(long bitmap) {
        return (int) bitmap;
    }

    static int zero(long bitmap) {
        return (int) (bitmap >>> COUNT);
    }

    /** Neither may a part have data and be zeroes, nor have data without a place for it. */
    static boolean sound(long bitmap, boolean placed) {
        return (allocated(bitmap) & zero(bitmap)) == 0 && (placed || allocated(bitmap) == 0);
    }

    /** The same, with these parts allocated. */
    static long allocate(long bitmap, int mask) {
        long bits = mask & ALL_ALLOCATED;
        return (bitmap | bits) & ~(bits << COUNT);
    }

    /** The same, with these parts zeroes, or, where that says the same, unallocated. */
    static long clear(long bitmap, int mask, boolean asZeroes) {
        long bits = mask & ALL_ALLOCATED;
        return (bitmap & ~bits) | (asZeroes ? bits << COUNT : 0);
    }

    /**
     * What one part of a cluster is, in the words of {@link Qcow2Layout}.
     *
     * @param cluster what the entry says of the whole
     */
    static int kind(int cluster, long bitmap, int part) {
        if (cluster != UNALLOCATED && cluster != NORMAL) {
            return cluster;
        }
        boolean allocated = (allocated(bitmap) >>> part & 1) != 0;
        boolean zero = (zero(bitmap) >>> part & 1) != 0;
        if (allocated) {
            return zero || cluster == UNALLOCATED ? INVALID : NORMAL;
        }
        if (zero) {
            return cluster == UNALLOCATED ? ZERO_PLAIN : ZERO_ALLOCATED;
        }
        return UNALLOCATED;
    }

    /** The parts that are of a kind; zeroes with and without a place are one. */
    private static int of(int kind, long bitmap) {
        int allocated = allocated(bitmap);
        int zero = zero(bitmap);
        return switch (kind) {
            case NORMAL -> allocated & ~zero;
            case ZERO_PLAIN, ZERO_ALLOCATED -> zero & ~allocated;
            case UNALLOCATED -> ~(allocated | zero);
            default -> 0;
        };
    }

    /** How many bits from one on are set. */
    static int run(int bits, int from) {
        return Math.min(COUNT - from, Integer.numberOfTrailingZeros(~(bits >>> from)));
    }

    /**
     * Where what lies at a position, and is neither compressed nor damaged, goes on to in the same way: of one kind, and data side by
     * side in the file. Within one slice, and not beyond {@code end}.
     */
    static long runEnd(Qcow2Device device, MapSlice slice, long position, long end) {
        long cluster = position >>> device.clusterBits;
        int part = device.partOf(position);
        int i = device.indexInSlice(cluster);
        long entry = slice.entries[i];
        int kind = kind(device.kind(entry), slice.bitmaps[i], part);
        while (true) {
            int run = run(of(kind, slice.bitmaps[i]), part);
            long to = (cluster << device.clusterBits) + ((long) (part + run) << device.partBits);
            if (part + run < COUNT || to >= end || ++i == slice.entries.length) {
                return Math.min(end, to);
            }
            entry += device.clusterMask + 1;
            int next = device.kind(slice.entries[i]);
            boolean follows = kind == NORMAL ? slice.entries[i] == entry : next == NORMAL || next == UNALLOCATED;
            if (!follows) {
                return to;
            }
            cluster++;
            part = 0;
        }
    }
}
