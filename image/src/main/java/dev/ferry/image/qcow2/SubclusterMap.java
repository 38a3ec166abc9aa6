package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.Completion;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.TableCache;

/**
 * Where the clusters of an image lie, or, where its L2 entries are extended, the subclusters: a second word says of each of 32
 * whether it is allocated (bits 0 to 31) and whether it reads as zeroes (bits 32 to 63).
 */
final class SubclusterMap implements GrainMap {
    static final int PAGE_BYTES_MAX = 64 << 10;
    static final int SUBCLUSTERS = 32;

    private final long[] l1;
    private final TableCache tables;
    private final int pageBytes;
    private final int entryBytes;
    private final int grainsInCluster;
    private final long clusterBytes;
    private final boolean external;

    /**
     * @param tables of pages of the file that the map is in
     * @param external data is in another file, where offset 0 is a place like others
     */
    SubclusterMap(long[] l1, TableCache tables, long clusterBytes, boolean extended, boolean external) {
        this.l1 = l1;
        this.tables = tables;
        this.clusterBytes = clusterBytes;
        this.pageBytes = (int) Math.min(clusterBytes, PAGE_BYTES_MAX);
        this.entryBytes = extended ? 16 : 8;
        this.grainsInCluster = extended ? SUBCLUSTERS : 1;
        this.external = external;
    }

    /** Where the page is that has the entry of a grain's cluster; 0: there is no table. */
    private long pageOf(long grain) {
        long at = grain / grainsInCluster * entryBytes;
        long table = hostOffset(l1[(int) (at / clusterBytes)]);
        return table == 0 ? 0 : table + at % clusterBytes / pageBytes * pageBytes;
    }

    @Override
    public boolean knows(long grain) {
        long page = pageOf(grain);
        return page == 0 || tables.at(page) != null;
    }

    @Override
    public void learn(long grain, Completion whenKnown) {
        tables.load(pageOf(grain), whenKnown);
    }

    @Override
    public long positionOf(long grain) {
        long place = pageOf(grain);
        byte[] page = place == 0 ? null : tables.at(place);
        if (page == null) {
            return NOTHING;
        }
        int at = (int) (grain / grainsInCluster * entryBytes % pageBytes);
        long entry = u64(page, at);
        return grainsInCluster == 1
                ? cluster(entry)
                : subcluster(entry, u64(page, at + 8), (int) (grain % SUBCLUSTERS));
    }

    private boolean placed(long entry) {
        return hostOffset(entry) != 0 || (external && (entry & COPIED) != 0);
    }

    private long cluster(long entry) {
        return switch (kind(entry, clusterBytes - 1, true)) {
            case UNALLOCATED -> placed(entry) ? 0 : NOTHING;
            case ZERO_PLAIN, ZERO_ALLOCATED -> ZEROES;
            case NORMAL -> hostOffset(entry);
            case PACKED -> UNREADABLE;
            default -> DAMAGED;
        };
    }

    private long subcluster(long entry, long bitmap, int index) {
        if ((entry & COMPRESSED) != 0) {
            return UNREADABLE;
        }
        if ((entry & ~(OFFSET_MASK | COPIED)) != 0 || (hostOffset(entry) & (clusterBytes - 1)) != 0) {
            return DAMAGED;
        }
        boolean allocated = (bitmap >>> index & 1) != 0;
        boolean zero = (bitmap >>> (SUBCLUSTERS + index) & 1) != 0;
        if (allocated && (zero || !placed(entry))) {
            return DAMAGED;
        }
        if (zero) {
            return ZEROES;
        }
        return allocated ? hostOffset(entry) + index * (clusterBytes / SUBCLUSTERS) : NOTHING;
    }
}
