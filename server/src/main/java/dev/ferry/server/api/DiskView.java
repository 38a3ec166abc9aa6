package dev.ferry.server.api;

import org.jspecify.annotations.Nullable;

/**
 * A disk.
 *
 * @param allocatedBytes what it takes on its datastore; -1 where that cannot be seen
 * @param state {@code detached}, {@code attached}, {@code moving}, or {@code unavailable}: it should be attached but
 *     could not be opened
 * @param uri where a VM finds it, while it is attached
 * @param problem why it is unavailable
 */
public record DiskView(
        String name,
        String datastore,
        String format,
        String provisioning,
        long sizeBytes,
        long allocatedBytes,
        String state,
        String path,
        @Nullable String uri,
        @Nullable String problem) {}
