package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;

/** Images that several tests are about. Any thread. */
final class Images {
    static final int DATA_BYTES = 4 << 20;

    private Images() {}

    /** Makes a raw image: data that is no other file's, zeroes, and data again, {@link #DATA_BYTES} of each. */
    static Path raw(Path file) throws IOException {
        byte[] bytes = new byte[3 * DATA_BYTES];
        new Random(file.getFileName().toString().hashCode()).nextBytes(bytes);
        Arrays.fill(bytes, DATA_BYTES, 2 * DATA_BYTES, (byte) 0);
        return Files.write(file, bytes);
    }

    /** A qcow2 image is sound, for QEMU and for us. */
    static void sound(Path image) {
        assertThat(succeeds("qemu-img", "check", "-f", "qcow2", image)).contains("No errors");
        FerryHost.bare("image", "check", image.toString()).done();
    }
}
