package dev.ferry.server.inventory;

import org.jspecify.annotations.Nullable;

/**
 * A disk that is to be attached whenever the daemon runs.
 *
 * @param tcp {@code HOST:PORT} it listens at, or null for the daemon's unix socket
 */
public record AttachmentRow(String disk, @Nullable String tcp) {}
