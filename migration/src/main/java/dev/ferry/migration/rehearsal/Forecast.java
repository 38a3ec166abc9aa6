package dev.ferry.migration.rehearsal;

import dev.ferry.migration.rehearsal.RehearsalReport.Range;
import org.jspecify.annotations.Nullable;

/**
 * What a move takes and costs, out of what was measured.
 *
 * <p>At best both sides work at the same time, each as fast as its quickest sample; at worst each waits for the other, both are
 * as slow as their slowest, and a guest at work leaves a third of that, as the copier is gentle beside it.
 *
 * @param dataBytes what is copied, all disks together
 * @param zeroedBytes what is written in zeroes before, for disks whose room is written when they are made
 * @param offloadedBytes of {@code dataBytes}, what the stores copy among themselves
 * @param offload how fast they do; null: they do not
 * @param source how fast the source is read, in bytes per second
 * @param targetWritten how fast the target is written
 * @param targetRead how fast it is read
 * @param digestedPerSecond how fast bytes are compared and digested; 0: they are not
 * @param bytesPerSecondMax bound on copying and comparing; 0: none
 * @param guestAtWork a guest wants its share
 */
record Forecast(
        double dataBytes,
        double zeroedBytes,
        double offloadedBytes,
        @Nullable Range offload,
        @Nullable Range source,
        @Nullable Range targetWritten,
        @Nullable Range targetRead,
        double digestedPerSecond,
        long bytesPerSecondMax,
        boolean guestAtWork) {
    private static final double BESIDE_GUEST = 3;
    private static final double REGION_BYTES = 1 << 20;
    /** Making files, records and names durable. */
    private static final Range AROUND_SECONDS = new Range(0.1, 2);

    private static final double MILLIS = 1000;

    /** How long the move would take; null if nobody knows. */
    @Nullable
    Range seconds() {
        if (zeroedBytes > 0 && targetWritten == null) {
            return null;
        }
        Range before = targetWritten == null
                ? AROUND_SECONDS
                : sum(
                        AROUND_SECONDS,
                        new Range(zeroedBytes / targetWritten.most(), zeroedBytes / targetWritten.least()));
        if (dataBytes == 0) {
            return before;
        }
        if (source == null || targetWritten == null) {
            return null;
        }
        Range copied = sum(before, pass(dataBytes - offloadedBytes, source, targetWritten, Double.MAX_VALUE));
        if (offload != null) {
            copied = sum(copied, pass(offloadedBytes, offload, offload, Double.MAX_VALUE));
        }
        if (digestedPerSecond == 0) {
            return copied;
        }
        if (targetRead == null) {
            return null;
        }
        // What was written a moment ago may be read from memory now, and may not when it is more than that.
        Range read = new Range(Math.min(targetRead.least(), source.least()), targetRead.most());
        return sum(copied, pass(dataBytes, source, read, digestedPerSecond));
    }

    /** So many bytes through both sides once. */
    private Range pass(double bytes, Range one, Range other, double perSecondMax) {
        double best = bytes / Math.min(perSecondMax, Math.min(one.most(), other.most()));
        double worst = bytes * (1 / one.least() + 1 / other.least() + 1 / perSecondMax);
        double bound = bytesPerSecondMax == 0 ? 0 : bytes / bytesPerSecondMax;
        return new Range(Math.max(bound, best), Math.max(bound, worst * (guestAtWork ? BESIDE_GUEST : 1)));
    }

    private static Range sum(Range a, Range b) {
        return new Range(a.least() + b.least(), a.most() + b.most());
    }

    /** How long a write may wait that meets the region being copied; null if nobody knows. */
    @Nullable
    Double longestWaitMillis() {
        return source == null || targetWritten == null
                ? null
                : REGION_BYTES * MILLIS * (1 / source.least() + 1 / targetWritten.least());
    }

    /**
     * What the mirror adds to a write: it costs the slower side. Of a guest that does not write now nobody knows what its
     * writes take, so that all of the target's time may come on top.
     *
     * @param target how long short writes to the target take; null: nobody knows
     * @param guest how long the guest's writes take now; null: it does not write
     */
    static @Nullable Range addedMillis(@Nullable Range target, @Nullable Range guest) {
        if (target == null) {
            return null;
        }
        return guest == null
                ? new Range(0, target.most())
                : new Range(Math.max(0, target.least() - guest.least()), Math.max(0, target.most() - guest.least()));
    }
}
