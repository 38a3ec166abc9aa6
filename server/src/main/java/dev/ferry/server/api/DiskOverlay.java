package dev.ferry.server.api;

import org.jspecify.annotations.Nullable;

/**
 * Make a disk that lies over a file of its datastore.
 *
 * @param sizeBytes 0: that of the file's disk
 * @param backing the file, as it is called in the datastore's folder
 * @param backingFormat of that file: any
 * @param format of the disk: {@code qcow2}; or that of the file, where that is not raw; null: qcow2
 * @param shape of a qcow2 disk; null: as usual
 */
public record DiskOverlay(
        String name,
        String datastore,
        long sizeBytes,
        String backing,
        String backingFormat,
        @Nullable String format,
        @Nullable DiskShape shape) {}
