package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.Fields.SECTOR_BYTES;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Where the tables of a sparse extent lie, and all else that is no data. Nothing of it lies over anything else.
 */
final class GrainTablesAt {
    /** Places of tables in bytes, of the first directory. */
    private final long[] directory;

    /** The same of the second one; empty where there is none. */
    private final long[] second;

    private final int tableEntries;

    /** Where what is no data begins, in order, and where it ends. */
    private final long[] starts;

    private final long[] ends;

    private record Range(long start, long end) {}

    private GrainTablesAt(long[] directory, long[] second, int tableEntries, List<Range> ranges) {
        this.directory = directory;
        this.second = second;
        this.tableEntries = tableEntries;
        this.starts = ranges.stream().mapToLong(Range::start).toArray();
        this.ends = ranges.stream().mapToLong(Range::end).toArray();
    }

    long[] directory() {
        return directory;
    }

    long[] second() {
        return second;
    }

    int tableEntries() {
        return tableEntries;
    }

    long tableOf(long grain) {
        return directory[(int) (grain / tableEntries)];
    }

    /** Of one extent, whose directories have been read; throws if a part of them is not there or lies over another. */
    static GrainTablesAt of(
            FileBytes file,
            long[] directory,
            long directoryAt,
            long[] second,
            long secondAt,
            int tableEntries,
            long descriptorAt,
            long descriptorBytes)
            throws BlockException {
        List<Range> ranges = new ArrayList<>();
        ranges.add(new Range(0, SECTOR_BYTES));
        if (descriptorAt > 0 && descriptorBytes > 0) {
            ranges.add(new Range(descriptorAt, descriptorAt + descriptorBytes));
        }
        add(ranges, file, directory, directoryAt, tableEntries);
        if (second.length > 0) {
            add(ranges, file, second, secondAt, tableEntries);
        }
        ranges.sort(Comparator.comparingLong(Range::start));
        long end = 0;
        for (Range range : ranges) {
            Fields.require(file, range.start() >= end, "its tables lie over each other, or over its header");
            end = range.end();
        }
        Fields.require(file, end <= file.lengthBytes(), "a table is past the end of the file");
        return new GrainTablesAt(directory, second, tableEntries, ranges);
    }

    private static void add(List<Range> ranges, FileBytes file, long[] directory, long at, int tableEntries)
            throws BlockException {
        ranges.add(new Range(at, at + (long) directory.length * Integer.BYTES));
        for (long table : directory) {
            if (table == 0) {
                throw VmdkDescriptor.flaw(
                        file,
                        ErrorKind.UNSUPPORTED,
                        "not all of its tables are there, and it can be read only; convert or import it");
            }
            ranges.add(new Range(table, table + (long) tableEntries * Integer.BYTES));
        }
    }

    long secondTableOf(long grain) {
        return second.length == 0 ? 0 : second[(int) (grain / tableEntries)];
    }

    /** True if nothing but data can be in a range of the file. */
    boolean holdsData(long position, int bytes) {
        int last = starts.length - 1;
        if (position >= ends[last]) {
            return true;
        }
        int low = 0;
        for (int high = last; low < high; ) {
            int middle = (low + high + 1) >>> 1;
            if (starts[middle] <= position) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return position >= ends[low] && (low == last || position + bytes <= starts[low + 1]);
    }
}
