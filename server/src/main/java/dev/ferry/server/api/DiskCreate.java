package dev.ferry.server.api;

import org.jspecify.annotations.Nullable;

/**
 * Make a disk, all zeroes.
 *
 * @param format {@code raw}, {@code qcow2}, {@code vmdk}, {@code vhd} or {@code vhdx}
 * @param provisioning {@code thin}, {@code lazy} or {@code eager}
 * @param shape of a qcow2 disk; null: as usual
 */
public record DiskCreate(
        String name,
        String datastore,
        long sizeBytes,
        String format,
        String provisioning,
        @Nullable DiskShape shape) {}
