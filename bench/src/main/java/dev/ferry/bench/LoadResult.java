package dev.ferry.bench;

/**
 * What a load did in one run.
 *
 * @param operations all that were done
 * @param perSecond operations per second
 * @param medianMicros of the latencies
 */
record LoadResult(long operations, double perSecond, double medianMicros) {}
