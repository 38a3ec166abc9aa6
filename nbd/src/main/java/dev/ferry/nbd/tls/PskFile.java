package dev.ferry.nbd.tls;

import java.io.IOException;
import java.nio.file.Path;

/**
 * A server's pre-shared keys, in a file that is read again for every handshake: whoever is struck out of it is not let in any
 * more, and nothing has to be restarted. Any thread; reading blocks.
 */
public final class PskFile {
    private static final System.Logger LOG = System.getLogger(PskFile.class.getName());

    private final Path file;
    private volatile PskKeys keys;

    private PskFile(Path file, PskKeys keys) {
        this.file = file;
        this.keys = keys;
    }

    /** @throws IOException one line that names the file, and what is wrong with it */
    public static PskFile load(Path file) throws IOException {
        return new PskFile(file, PskKeys.read(file));
    }

    /** What was read last. */
    PskKeys keys() {
        return keys;
    }

    /** Reads the file again. What cannot be read is logged, and what was read before stays. */
    void refresh() {
        try {
            keys = PskKeys.read(file);
        } catch (IOException halfWritten) {
            LOG.log(System.Logger.Level.WARNING, "new pre-shared keys are not used yet: " + halfWritten.getMessage());
        }
    }
}
