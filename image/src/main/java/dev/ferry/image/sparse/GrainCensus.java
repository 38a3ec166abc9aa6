package dev.ferry.image.sparse;

import dev.ferry.image.FileBytes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Looks whether grains lie where they can: in the file, at least in part, over no other grain and over nothing that is no
 * grain. A grain at the end of a file may be cut off. Blocking code; used once.
 */
public final class GrainCensus {
    private static final int FINDINGS_MAX = 20;

    private final FileBytes file;
    private final int grainBytes;
    private final boolean packed;
    private final List<String> findings = new ArrayList<>();
    private final List<long[]> reserved = new ArrayList<>();
    private long[] positions = new long[1024];
    private int count;
    private long total;
    private long fragmented;
    private long corruptions;
    private long stale;
    private long end;

    /**
     * @param grainBytes what a grain takes in the file
     * @param packed grains are compressed, and shorter
     */
    public GrainCensus(FileBytes file, int grainBytes, boolean packed) {
        this.file = file;
        this.grainBytes = grainBytes;
        this.packed = packed;
    }

    /** Grains of the disk, there or not. */
    public void disk(long grains) {
        total += grains;
    }

    /** A part of the file that is no grain. */
    public void reserve(long offset, long length) {
        reserved.add(new long[] {offset, offset + length});
    }

    /** Where a grain lies. */
    public void grain(long number, long position) {
        if (position < 0 || position >= file.lengthBytes()) {
            finding("grain " + number + " lies past the end of the file, at " + position);
            return;
        }
        if (isOverTables(position)) {
            finding("grain " + number + " lies over tables, at " + position);
            return;
        }
        if (count == positions.length) {
            positions = Arrays.copyOf(positions, count * 2);
        }
        fragmented += count > 0 && positions[count - 1] + grainBytes != position ? 1 : 0;
        positions[count++] = position;
    }

    private boolean isOverTables(long position) {
        for (long[] range : reserved) {
            if (position < range[1] && position + lengthBytes() > range[0]) {
                return true;
            }
        }
        return false;
    }

    /**
     * What a table and its copy say of a grain is not the same. Where one of them says nothing, and the other what can be, a
     * crash came between the one and the other.
     *
     * @param position what the table says; 0: nothing
     * @param copy the same of its copy
     */
    public void differ(long number, long position, long copy) {
        long either = Math.max(position, copy);
        boolean possible = Math.min(position, copy) == 0 && either < file.lengthBytes() && !isOverTables(either);
        if (possible) {
            stale++;
            corruptions--;
        }
        finding("the table of grain " + number + " and its copy differ");
    }

    private int lengthBytes() {
        return packed ? 1 : grainBytes;
    }

    public void finding(String what) {
        corruptions++;
        if (findings.size() < FINDINGS_MAX) {
            findings.add(file.name() + ": " + what);
        }
    }

    /** What was found; all grains have been named. */
    public Census report() {
        long[] sorted = Arrays.copyOf(positions, count);
        Arrays.sort(sorted);
        for (int i = 1; i < count; i++) {
            if (sorted[i] < sorted[i - 1] + lengthBytes()) {
                finding("two grains lie over each other, at " + sorted[i]);
            }
        }
        end = count == 0 ? 0 : Math.min(file.lengthBytes(), sorted[count - 1] + lengthBytes());
        return new Census(corruptions, stale, total, count, packed ? count : 0, packed ? 0 : fragmented, end, findings);
    }
}
