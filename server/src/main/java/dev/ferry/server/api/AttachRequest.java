package dev.ferry.server.api;

import org.jspecify.annotations.Nullable;

/**
 * Open a disk for a VM.
 *
 * @param tcp {@code HOST:PORT} to listen at, or null for the daemon's unix socket
 */
public record AttachRequest(@Nullable String tcp) {}
