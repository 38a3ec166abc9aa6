package dev.ferry.server.api;

import java.util.List;

/**
 * A file that a disk is made of.
 *
 * @param sharedBy other files that lie over it too
 */
public record LayerView(String path, String format, long sizeBytes, long allocatedBytes, List<String> sharedBy) {
    public LayerView {
        sharedBy = List.copyOf(sharedBy);
    }
}
