package dev.ferry.server;

import dev.ferry.block.BlockDevice;
import java.util.concurrent.atomic.AtomicLong;

/** A disk in portions, of which several {@link Transfer}s take the next one each, until there is none left. Any thread. */
public final class Portions {
    /** A multiple of every block size. */
    private static final long BYTES_MIN = 128L << 20;

    /** Long enough that where the holes of a large and empty disk are is not asked too often. */
    private static final long BYTES_MAX = 1L << 30;

    private static final int COUNT_MIN = 64;

    private final long sizeBytes;
    private final long portionBytes;
    private final AtomicLong next = new AtomicLong();

    private Portions(long sizeBytes, long portionBytes) {
        this.sizeBytes = sizeBytes;
        this.portionBytes = portionBytes;
    }

    /** All of {@code device} as one. */
    static Portions whole(BlockDevice device) {
        long sizeBytes = device.geometry().sizeBytes();
        return new Portions(sizeBytes, Math.max(1, sizeBytes));
    }

    /** Portions of 128 MiB to 1 GiB of a disk of {@code sizeBytes}. */
    public static Portions of(long sizeBytes) {
        long even = sizeBytes / COUNT_MIN / BYTES_MIN * BYTES_MIN;
        return new Portions(sizeBytes, Math.clamp(even, BYTES_MIN, BYTES_MAX));
    }

    /** How many there are. */
    public long count() {
        return Math.ceilDiv(sizeBytes, portionBytes);
    }

    /** Takes the next one: its first byte, or -1 if there is none left. */
    long take() {
        long at = next.getAndUpdate(this::endOf);
        return at < sizeBytes ? at : -1;
    }

    /** Where the one ends that begins at {@code at}. */
    long endOf(long at) {
        return at + Math.min(portionBytes, sizeBytes - at);
    }
}
