package dev.ferry.server.inventory;

/**
 * A disk as the inventory has it.
 *
 * @param format {@code raw}, {@code qcow2}, {@code vmdk}, {@code vhd} or {@code vhdx}
 * @param provisioning {@code thin}, {@code lazy} or {@code eager}
 * @param path absolute path of its file
 */
public record DiskRow(String name, String datastore, String format, String provisioning, long sizeBytes, String path) {}
