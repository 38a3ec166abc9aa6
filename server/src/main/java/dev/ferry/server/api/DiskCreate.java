package dev.ferry.server.api;

/**
 * Make a disk, all zeroes.
 *
 * @param format {@code raw}, {@code qcow2}, {@code vmdk}, {@code vhd} or {@code vhdx}
 * @param provisioning {@code thin}, {@code lazy} or {@code eager}
 */
public record DiskCreate(String name, String datastore, long sizeBytes, String format, String provisioning) {}
