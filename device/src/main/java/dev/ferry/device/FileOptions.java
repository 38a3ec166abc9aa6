package dev.ferry.device;

/**
 * How a file is opened.
 *
 * @param readOnly no changes
 * @param direct past the page cache (O_DIRECT): what is acknowledged is on the device, and the host's memory stays free
 * @param growing it may grow, as the file of an image does: its geometry is a bound, not its length
 * @param alone nobody else is waiting for its loop, so that the loop may wait for a write: the copy into the page cache then
 *     needs no other thread, however long it is
 * @param beside this process has the file open to be written already, on another loop, and the locks with it: none are taken
 */
public record FileOptions(boolean readOnly, boolean direct, boolean growing, boolean alone, boolean beside) {
    /** On a loop that serves others too. */
    public FileOptions(boolean readOnly, boolean direct, boolean growing) {
        this(readOnly, direct, growing, false, false);
    }

    /** A file that keeps its length. */
    public FileOptions(boolean readOnly, boolean direct) {
        this(readOnly, direct, false, false, false);
    }

    /** Through the page cache, for reading and writing. */
    public static final FileOptions CACHED = new FileOptions(false, false);

    /** Past the page cache, for reading and writing. */
    public static final FileOptions DIRECT = new FileOptions(false, true);

    public FileOptions asReadOnly() {
        return new FileOptions(true, direct, growing, alone, beside);
    }
}
