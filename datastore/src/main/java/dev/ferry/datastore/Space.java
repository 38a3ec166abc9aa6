package dev.ferry.datastore;

/**
 * Room in a datastore, as its file system tells it; others use it too, so it is out of date when it is read.
 *
 * @param freeBytes what may still be written
 * @param totalBytes its size
 */
public record Space(long freeBytes, long totalBytes) {}
