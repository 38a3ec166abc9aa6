package dev.ferry.server.api;

/**
 * Make a disk that is a copy of a file.
 *
 * @param from absolute path of the file, on the daemon's host
 * @param format of the file and of the disk: {@code raw}, {@code qcow2}, or {@code auto}: what the content looks like
 */
public record DiskImport(String name, String datastore, String from, String format, String provisioning) {}
