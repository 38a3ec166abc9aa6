package dev.ferry.image.qcow2;

import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;

/**
 * Takes everything out of an overlay that nobody uses, so that its backing file shows through everywhere. Snapshots and
 * bitmaps stay. A crash leaves the overlay as it was or empty (see {@link Changeover}). Blocking code of the control plane.
 */
public final class Qcow2Emptier {
    private Qcow2Emptier() {}

    /** Empties it; what it held is gone unless its backing file has it. */
    public static void empty(FileBytes file) throws BlockException {
        Changeover change = Changeover.of(file);
        change.content(new long[0], change.header.sizeBytes());
        change.run();
    }
}
