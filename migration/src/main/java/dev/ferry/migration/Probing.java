package dev.ferry.migration;

/**
 * How a parked move looks whether what parked it has passed: after {@code firstNanos}, and each time later by half as much
 * again, up to {@code mostNanos}.
 */
record Probing(long firstNanos, long mostNanos) {
    static final Probing DEFAULT = new Probing(1_000_000_000L, 60_000_000_000L);
}
