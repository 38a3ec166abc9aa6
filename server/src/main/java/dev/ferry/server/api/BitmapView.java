package dev.ferry.server.api;

/**
 * A dirty bitmap of a disk.
 *
 * @param granularityBytes what one bit stands for
 * @param dirtyBytes in blocks that were changed; -1 where that is not known
 * @param state {@code recording} while the disk is attached, {@code kept} while it is not; {@code inconsistent} after a
 *     crash: what it held is lost, and it is to be removed or cleared
 */
public record BitmapView(String name, long granularityBytes, long dirtyBytes, String state) {}
