package dev.ferry.bench;

import java.io.IOException;

/** Something that moves a disk from one file to another while a load writes to it. */
interface Mover extends AutoCloseable {
    /**
     * When a move happened, on the clock of the machine, and how long its switch-over stopped the guest.
     *
     * @param pauseMillis not a number where the mover does not tell
     */
    record Move(long beginMillis, long endMillis, double seconds, double pauseMillis) {}

    String label();

    /** Makes the disk ready for a round, and returns the NBD URI to load. */
    String open() throws IOException;

    /** Moves the disk and returns when the guest runs on the new file alone. */
    Move move() throws IOException;

    /** Ends a round. */
    void finish() throws IOException;

    @Override
    void close() throws IOException;
}
