package dev.ferry.migration;

/** Says when to look again whether what parked a move has passed. One that parks again soon waits on where it was. */
final class Prober {
    private final Probing probing;
    private long intervalNanos;
    private long nextNanos;
    private long parkedNanos;

    Prober(Probing probing) {
        this.probing = probing;
    }

    /** The move was parked, or stayed so. */
    void parked(long nowNanos) {
        boolean longAgo = intervalNanos > 0 && nowNanos - parkedNanos > 2 * probing.mostNanos();
        intervalNanos = intervalNanos == 0 || longAgo
                ? probing.firstNanos()
                : Math.min(probing.mostNanos(), intervalNanos + intervalNanos / 2);
        parkedNanos = nowNanos;
        nextNanos = nowNanos + intervalNanos;
    }

    boolean due(long nowNanos) {
        return intervalNanos > 0 && nowNanos - nextNanos >= 0;
    }
}
