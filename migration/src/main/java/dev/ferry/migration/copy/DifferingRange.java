package dev.ferry.migration.copy;

/**
 * Where the two sides differ, in units of 4 KiB.
 *
 * @param offset first byte
 * @param length bytes
 */
public record DifferingRange(long offset, long length) {}
