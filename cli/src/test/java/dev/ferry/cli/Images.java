package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import tools.jackson.databind.json.JsonMapper;

/** Images that several tests are about. Any thread. */
final class Images {
    static final int DATA_BYTES = 4 << 20;

    private static final JsonMapper JSON = JsonMapper.builder().build();

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

    /** The size of the disk in an image, as QEMU sees it. */
    static long size(String format, Path image) {
        return JSON.readTree(succeeds("qemu-img", "info", "--output=json", "-f", format, image))
                .path("virtual-size")
                .asLong();
    }
}
