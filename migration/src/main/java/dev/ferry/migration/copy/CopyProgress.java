package dev.ferry.migration.copy;

/**
 * How far a copy is.
 *
 * @param sizeBytes size of the disk
 * @param pendingBytes in regions that are not in step yet, holes and all
 * @param workBytes what there is to read in all, as far as is known: the data that the source's map shows. Holes are no
 *     work
 * @param doneBytes of {@code workBytes}, what has been read and dealt with, or was in step when the move went on
 * @param copiedBytes written to the target
 * @param offloadedBytes of {@code copiedBytes}, copied by the stores themselves
 * @param zeroBytes found to be zeroes or holes and not written
 * @param surveyed the whole map of the source has been seen, so that {@code workBytes} can be relied on
 */
public record CopyProgress(
        long sizeBytes,
        long pendingBytes,
        long workBytes,
        long doneBytes,
        long copiedBytes,
        long offloadedBytes,
        long zeroBytes,
        boolean surveyed) {
    /** From 0 to 1; 1 only when nothing is pending. */
    public double fraction() {
        if (pendingBytes == 0) {
            return 1;
        }
        return workBytes == 0 ? 0 : Math.min(0.999, (double) doneBytes / workBytes);
    }
}
