package dev.ferry.server.api;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A disk.
 *
 * @param allocatedBytes what it takes on its datastore; -1 where that cannot be seen
 * @param state {@code detached}, {@code attached}, {@code moving}, or {@code unavailable}: it should be attached but
 *     could not be opened
 * @param uri where a VM finds it, while it is attached
 * @param problem why it is unavailable
 * @param chain the files that it is made of, from its own down; null in a list, and where they cannot be seen
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
        @Nullable String problem,
        @Nullable List<LayerView> chain) {
    public DiskView {
        chain = chain == null ? null : List.copyOf(chain);
    }
}
