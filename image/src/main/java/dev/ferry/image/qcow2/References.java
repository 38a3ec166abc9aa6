package dev.ferry.image.qcow2;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** How often each host cluster is referred to, as a check counts it; memory for those parts of the file that are. */
final class References {
    static final int PAGE_CLUSTERS = 2048;
    private static final int PAGES_MAX = 1 << 17;

    /** A count that is not kept exactly any more. */
    static final int MOST = 0xffff;

    private final FileBytes file;
    private final Map<Long, char[]> pages = new HashMap<>();
    private char @Nullable [] last;
    private long lastPage = -1;

    References(FileBytes file) {
        this.file = file;
    }

    void add(long cluster) throws BlockException {
        add(cluster, 1);
    }

    void add(long cluster, int times) throws BlockException {
        char[] page = page(cluster / PAGE_CLUSTERS, true);
        int at = (int) (cluster % PAGE_CLUSTERS);
        if (page != null) {
            page[at] = (char) Math.min(MOST, page[at] + times);
        }
    }

    void remove(long cluster) throws BlockException {
        char[] page = page(cluster / PAGE_CLUSTERS, false);
        int at = (int) (cluster % PAGE_CLUSTERS);
        if (page != null && page[at] > 0) {
            page[at]--;
        }
    }

    int count(long cluster) throws BlockException {
        char[] page = page(cluster / PAGE_CLUSTERS, false);
        return page == null ? 0 : page[(int) (cluster % PAGE_CLUSTERS)];
    }

    /** True if a cluster is referred to. */
    boolean has(long cluster) {
        char[] page = pages.get(cluster / PAGE_CLUSTERS);
        return page != null && page[(int) (cluster % PAGE_CLUSTERS)] > 0;
    }

    /** How many are. */
    long clusters() {
        long count = 0;
        for (char[] page : pages.values()) {
            for (char times : page) {
                count += times > 0 ? 1 : 0;
            }
        }
        return count;
    }

    /** The first cluster from one on that is referred to, or is not; or a limit before that. */
    long next(long from, long limit, boolean referred) {
        long at = from;
        while (at < limit) {
            char[] page = pages.get(at / PAGE_CLUSTERS);
            long pageEnd = Math.min(limit, (at / PAGE_CLUSTERS + 1) * PAGE_CLUSTERS);
            if (page == null && !referred) {
                return at;
            }
            while (page != null && at < pageEnd) {
                if ((page[(int) (at % PAGE_CLUSTERS)] > 0) == referred) {
                    return at;
                }
                at++;
            }
            at = pageEnd;
        }
        return limit;
    }

    /** The highest cluster that is referred to, or -1. */
    long highest() {
        long highest = -1;
        for (Map.Entry<Long, char[]> page : pages.entrySet()) {
            for (int i = PAGE_CLUSTERS - 1; i >= 0; i--) {
                if (page.getValue()[i] > 0) {
                    highest = Math.max(highest, page.getKey() * PAGE_CLUSTERS + i);
                    break;
                }
            }
        }
        return highest;
    }

    private char @Nullable [] page(long index, boolean make) throws BlockException {
        if (index == lastPage && last != null) {
            return last;
        }
        char[] page = pages.get(index);
        if (page == null && make) {
            if (pages.size() == PAGES_MAX) {
                throw Qcow2Header.flaw(file, ErrorKind.NO_MEMORY, "a check of it takes more memory than is allowed");
            }
            page = new char[PAGE_CLUSTERS];
            pages.put(index, page);
        }
        last = page;
        lastPage = index;
        return page;
    }
}
