package dev.ferry.stack;

import java.nio.file.Path;

/**
 * A file that holds part of a disk besides the disk's own, as it is written down.
 *
 * @param path the file, without links in its path
 * @param identity tells it from a later one of its name
 */
public record PartRecord(String path, String identity) {
    public Path file() {
        return Path.of(path);
    }
}
