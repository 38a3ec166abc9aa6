package dev.ferry.server.api;

/**
 * A datastore.
 *
 * @param state {@code ok}, or {@code missing} where its path cannot be looked at
 * @param disks how many disks it holds
 */
public record DatastoreView(
        String name, String kind, String path, String state, long totalBytes, long freeBytes, int disks) {}
