package dev.ferry.server.api;

/**
 * Make a datastore known.
 *
 * @param kind {@code dir}
 * @param path absolute
 */
public record DatastoreAdd(String name, String kind, String path) {}
