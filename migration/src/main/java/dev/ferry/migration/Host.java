package dev.ferry.migration;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What this host calls itself, for good: a journal that says otherwise was copied here and is none of this host's. */
final class Host {
    private static final Logger LOG = LoggerFactory.getLogger(Host.class);
    private static final List<String> NAMES = List.of("/etc/machine-id", "/proc/sys/kernel/hostname");

    private Host() {}

    static String name() {
        for (String file : NAMES) {
            try {
                String name = Files.readString(Path.of(file)).trim();
                if (!name.isEmpty()) {
                    return name;
                }
            } catch (IOException e) {
                LOG.debug("{} does not name this host", file, e);
            }
        }
        return "unknown";
    }
}
