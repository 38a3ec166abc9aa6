package dev.ferry.server.api;

/**
 * Make a disk that lies over a file of its datastore.
 *
 * @param sizeBytes 0: that of the file's disk
 * @param backing the file, as it is called in the datastore's folder
 * @param backingFormat {@code raw} or {@code qcow2}
 */
public record DiskOverlay(String name, String datastore, long sizeBytes, String backing, String backingFormat) {}
