package dev.ferry.image.vmdk;

import dev.ferry.block.Completion;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.TableCache;

/**
 * Grains that a directory of tables says the places of: the directory is in memory, the tables come through a cache. How an
 * entry of a table reads is what kinds of files differ in.
 */
final class DirectoryMap implements GrainMap {
    /** What an entry of a table says: a place in bytes, or one of the constants of {@link GrainMap}. */
    @FunctionalInterface
    interface Entry {
        long position(byte[] table, int index);
    }

    private final long[] directory;
    private final int tableEntries;
    private final TableCache tables;
    private final Entry entry;

    /**
     * @param directory places of tables in bytes; 0: nothing of what it would describe is there
     * @param tableEntries of a table
     */
    DirectoryMap(long[] directory, int tableEntries, TableCache tables, Entry entry) {
        this.directory = directory;
        this.tableEntries = tableEntries;
        this.tables = tables;
        this.entry = entry;
    }

    private long tableOf(long grain) {
        return directory[(int) (grain / tableEntries)];
    }

    @Override
    public boolean knows(long grain) {
        long table = tableOf(grain);
        return table == 0 || tables.at(table) != null;
    }

    @Override
    public void learn(long grain, Completion whenKnown) {
        tables.load(tableOf(grain), whenKnown);
    }

    @Override
    public long positionOf(long grain) {
        long place = tableOf(grain);
        byte[] table = place == 0 ? null : tables.at(place);
        return table == null ? NOTHING : entry.position(table, (int) (grain % tableEntries));
    }
}
