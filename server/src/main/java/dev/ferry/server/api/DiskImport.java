package dev.ferry.server.api;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Make a disk that is a copy of a file.
 *
 * @param from absolute path of the file, on the daemon's host
 * @param fromFormat of the file: {@code raw}, {@code qcow2}, {@code vmdk}, {@code vhd}, {@code vhdx}, or {@code auto}: what the content
 *     looks like; null: raw, and refused if it looks like anything else
 * @param format of the disk; null: {@code qcow2} if the file is, else {@code raw}
 * @param devices absolute paths of the devices that raw device maps of VMware stand for, by their names; null: none
 * @param shape of a qcow2 disk; null: as usual, whatever the file is
 */
public record DiskImport(
        String name,
        String datastore,
        String from,
        @Nullable String fromFormat,
        @Nullable String format,
        String provisioning,
        @Nullable Map<String, String> devices,
        @Nullable DiskShape shape) {
    public DiskImport {
        devices = devices == null ? null : Map.copyOf(devices);
    }
}
