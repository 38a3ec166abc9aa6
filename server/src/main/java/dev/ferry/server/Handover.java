package dev.ferry.server;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A note from a daemon to the one that takes over: the instant at which it stopped taking requests. Both read the same
 * clock, that of the kernel since it was started.
 */
final class Handover {
    private static final Logger LOG = LoggerFactory.getLogger(Handover.class);
    private static final double NANOS_PER_MILLI = 1e6;

    private Handover() {}

    static void leave(Path note) throws IOException {
        Files.writeString(note, Long.toString(System.nanoTime()));
    }

    /** Takes the note away and tells how long ago its instant is; -1 if there is none. */
    static double outageMillis(Path note) {
        try {
            if (Files.notExists(note)) {
                return -1;
            }
            long sinceNanos = Long.parseLong(Files.readString(note).trim());
            Files.delete(note);
            return (System.nanoTime() - sinceNanos) / NANOS_PER_MILLI;
        } catch (IOException | NumberFormatException unreadable) {
            LOG.warn("the note of the daemon before is not readable: {}", unreadable.getMessage());
            return -1;
        }
    }
}
