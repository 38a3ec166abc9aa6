package dev.ferry.server.api;

import org.jspecify.annotations.Nullable;

/**
 * Make disks that are copies of those of an appliance.
 *
 * @param name of the disk; if there are several, a number follows it: {@code web-1}, {@code web-2}
 * @param from absolute path of the .ova or .ovf file, on the daemon's host
 * @param disk which of them, counted from 1; null: all
 * @param format of the disks that are made; null: {@code raw}
 * @param shape of qcow2 disks; null: as usual
 */
public record ApplianceImport(
        String name,
        String datastore,
        String from,
        @Nullable Integer disk,
        @Nullable String format,
        String provisioning,
        @Nullable DiskShape shape) {}
