package dev.ferry.server.api;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Make a disk that is a copy of a file.
 *
 * @param from absolute path of the file, on the daemon's host
 * @param format of the file and of the disk: {@code raw}, {@code qcow2}, or {@code auto}: what the content looks like
 * @param devices absolute paths of the devices that raw device maps of VMware stand for, by their names; null: none
 */
public record DiskImport(
        String name,
        String datastore,
        String from,
        String format,
        String provisioning,
        @Nullable Map<String, String> devices) {
    public DiskImport {
        devices = devices == null ? null : Map.copyOf(devices);
    }
}
