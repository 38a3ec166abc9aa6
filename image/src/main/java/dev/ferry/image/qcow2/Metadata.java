package dev.ferry.image.qcow2;

/**
 * The host clusters that hold metadata, so that no guest's write goes there, whatever a damaged or hostile L2 table says.
 * An open table of numbers. Thread: the disk's loop.
 */
final class Metadata {
    private long[] slots = new long[256];
    private int count;

    Metadata() {
        add(0);
    }

    boolean has(long cluster) {
        int mask = slots.length - 1;
        for (int at = slot(cluster); slots[at] != 0; at = (at + 1) & mask) {
            if (slots[at] == cluster + 1) {
                return true;
            }
        }
        return false;
    }

    /** Clusters are kept plus one: a slot of 0 is empty. */
    void add(long cluster) {
        if (has(cluster)) {
            return;
        }
        if (2 * count >= slots.length) {
            long[] before = slots;
            slots = new long[2 * before.length];
            count = 0;
            for (long kept : before) {
                if (kept != 0) {
                    put(kept);
                }
            }
        }
        put(cluster + 1);
    }

    void addRange(long offset, long bytes, int clusterBits) {
        long last = bytes == 0 ? -1 : (offset + bytes - 1) >>> clusterBits;
        for (long cluster = offset >>> clusterBits; cluster <= last; cluster++) {
            add(cluster);
        }
    }

    private void put(long kept) {
        int mask = slots.length - 1;
        int at = slot(kept - 1);
        while (slots[at] != 0) {
            at = (at + 1) & mask;
        }
        slots[at] = kept;
        count++;
    }

    private int slot(long cluster) {
        return (int) ((cluster * 0x9e3779b97f4a7c15L) >>> 33) & (slots.length - 1);
    }
}
