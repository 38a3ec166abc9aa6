package dev.ferry.migration.journal;

import java.util.Locale;

/**
 * What the last start found of a move that had been interrupted.
 *
 * @param count how often the move has been taken up again
 * @param atMillis when, in milliseconds since 1970
 * @param sizeBytes of its disks, together
 * @param keptBytes in step and kept
 * @param againBytes copied before, and to be copied again; -1 if nobody knows
 * @param told one line that says so
 */
public record Resumption(int count, long atMillis, long sizeBytes, long keptBytes, long againBytes, String told) {
    /**
     * @param why such as {@code a crash}
     * @param trouble what was wrong with what had been kept; empty if nothing was
     */
    public static Resumption of(
            int count, long atMillis, String why, long sizeBytes, long keptBytes, long againBytes, String trouble) {
        String again = againBytes < 0 ? "the rest to copy" : text(againBytes) + " to copy again";
        String told = "resumed after " + why + ": " + text(keptBytes) + " of " + text(sizeBytes) + " kept, " + again
                + (trouble.isEmpty() ? "" : " (" + trouble + ")");
        return new Resumption(count, atMillis, sizeBytes, keptBytes, againBytes, told);
    }

    private static String text(long bytes) {
        String[] units = {"bytes", "KiB", "MiB", "GiB", "TiB"};
        double value = bytes;
        int unit = 0;
        while (value >= 1024 && unit < units.length - 1) {
            value /= 1024;
            unit++;
        }
        boolean whole = unit == 0 || value == Math.rint(value);
        return String.format(Locale.ROOT, whole ? "%.0f %s" : "%.1f %s", value, units[unit]);
    }
}
