package dev.ferry.server.inventory;

/**
 * A datastore as the inventory has it.
 *
 * @param kind {@code dir}
 * @param path absolute
 */
public record DatastoreRow(String name, String kind, String path) {}
