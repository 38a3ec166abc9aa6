package dev.ferry.bench;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * One way of a link that is long and narrow: when what is sent has been taken by the line, when it arrives, and how much of
 * the line was used. What waits for the line is bounded by {@link #QUEUE_NANOS} of it, as in a router. Any thread.
 */
final class LinkDirection {
    private static final long QUEUE_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    /** Messages of a handshake, and what only acknowledges, are shorter. */
    private static final int DATA_BYTES_MIN = 1024;

    /** The queue is full. */
    static final long DROPPED = Long.MIN_VALUE;

    private final long bytesPerSecond;
    private final long delayNanos;
    private long freeNanos = System.nanoTime();
    private long carriedBytes;
    private long droppedPackets;
    private long firstNanos;
    private long lastNanos;

    LinkDirection(long bytesPerSecond, long delayNanos) {
        this.bytesPerSecond = bytesPerSecond;
        this.delayNanos = delayNanos;
    }

    /** Has bytes of a stream wait for the line and take it; gives the instant at which they arrive. */
    long pass(int bytes) {
        long sentNanos = take(bytes);
        waitUntil(sentNanos - QUEUE_NANOS);
        return sentNanos + delayNanos;
    }

    /** Has a packet take the line; gives the instant at which it arrives, or {@link #DROPPED}. Waits for nothing. */
    synchronized long offer(int bytes) {
        if (freeNanos - System.nanoTime() > QUEUE_NANOS) {
            droppedPackets++;
            return DROPPED;
        }
        return take(bytes) + delayNanos;
    }

    /** The instant at which the line has taken them. */
    private synchronized long take(int bytes) {
        long now = System.nanoTime();
        long begins = freeNanos - now > 0 ? freeNanos : now;
        freeNanos = begins + bytes * 1_000_000_000L / bytesPerSecond;
        if (bytes >= DATA_BYTES_MIN) {
            if (carriedBytes == 0) {
                firstNanos = begins;
            }
            carriedBytes += bytes;
            lastNanos = freeNanos;
        }
        return freeNanos;
    }

    static void waitUntil(long instantNanos) {
        for (long left = instantNanos - System.nanoTime(); left > 0; left = instantNanos - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
    }

    /** Forgets what it has carried. */
    synchronized void mark() {
        carriedBytes = 0;
        droppedPackets = 0;
    }

    /** What it has carried since the mark, from the first byte of data to the last, as a share of what it could have. */
    synchronized double share() {
        return carriedBytes == 0 ? 0 : carriedBytes * 1e9 / (lastNanos - firstNanos) / bytesPerSecond;
    }

    /** Packets since the mark for which there was no room. */
    synchronized long droppedPackets() {
        return droppedPackets;
    }
}
