package dev.ferry.server.api;

import org.jspecify.annotations.Nullable;

/**
 * Change the chain of a disk: commit, or stream.
 *
 * @param layer commit: the file that is to get all; stream: the one that stays below; null: by depth, or none
 * @param depth commit: which layer below the disk's own file, from 1; not looked at where a layer is named
 * @param bytesPerSecond bound on the copy; 0: none
 */
public record ChainRequest(@Nullable String layer, int depth, long bytesPerSecond) {}
