package dev.ferry.server.api;

/**
 * Mark what is changed on a disk from now on.
 *
 * @param name what to call the bitmap; NBD clients see {@code qemu:dirty-bitmap:NAME}
 * @param granularityBytes a power of two, 512 to 1 GiB: what one bit stands for
 */
public record BitmapAdd(String name, long granularityBytes) {}
