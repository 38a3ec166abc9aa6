package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.COPIED;
import static dev.ferry.image.qcow2.Qcow2Layout.hostOffset;

import java.util.BitSet;

/** The active L1 table, which is in memory whole, and which parts of it are not in the file yet. The disk's loop. */
final class L1Table {
    /** What is written at once: a block's worth, so that no two writes in flight share one. */
    static final int CHUNK_ENTRIES = 512;

    private final long[] entries;
    private final long offset;
    private final int tableBits;
    private final int entryBytes;
    final BitSet dirtyChunks = new BitSet();

    /**
     * @param tableBits the logarithm of the number of entries of an L2 table
     * @param entryBytes of such an entry
     */
    L1Table(long[] entries, long offset, int tableBits, int entryBytes) {
        this.entries = entries;
        this.offset = offset;
        this.tableBits = tableBits;
        this.entryBytes = entryBytes;
    }

    int count() {
        return entries.length;
    }

    long entry(int table) {
        return entries[table];
    }

    boolean present(int table) {
        return hostOffset(entries[table]) != 0;
    }

    /** The table belongs to the active disk alone, and may be written. */
    boolean owned(int table) {
        return (entries[table] & COPIED) != 0;
    }

    void set(int table, long hostBytes) {
        entries[table] = hostBytes | COPIED;
        dirtyChunks.set(table / CHUNK_ENTRIES);
    }

    /** Where a slice of an L2 table lies in the file. */
    long positionOf(long slice, int sliceEntries) {
        long cluster = slice * sliceEntries;
        long table = hostOffset(entries[(int) (cluster >>> tableBits)]);
        return table + (cluster & ((1L << tableBits) - 1)) * entryBytes;
    }

    long chunkPosition(int chunk) {
        return offset + chunk * (CHUNK_ENTRIES * 8L);
    }

    int chunkEntries(int chunk) {
        return Math.min(CHUNK_ENTRIES, entries.length - chunk * CHUNK_ENTRIES);
    }
}
