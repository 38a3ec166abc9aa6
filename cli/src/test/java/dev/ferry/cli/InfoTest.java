package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * {@code ferry image info} opens the image and nothing that the image names: what it names here is a pipe that nobody writes to, and
 * who opens that to read waits for ever.
 */
@Timeout(180)
final class InfoTest {
    private static final int SECONDS_MAX = 60;

    @TempDir
    Path directory;

    private Path image(String kind) throws Exception {
        Path image = directory.resolve("image");
        Path other = directory.resolve("other");
        switch (kind) {
            case "backing file" ->
                succeeds("qemu-img", "create", "-u", "-f", "qcow2", "-b", "other", "-F", "raw", image, "1M");
            case "data file" -> {
                succeeds("qemu-img", "create", "-f", "qcow2", "-o", "data_file=" + other, image, "1M");
                Files.delete(other);
            }
            case "extent" -> Files.writeString(image, """
                        # Disk DescriptorFile
                        version=1
                        CID=1
                        parentCID=ffffffff
                        createType="monolithicFlat"
                        RW 2048 FLAT "other" 0
                        """);
            case "parent" -> {
                FerryHost.bare("image", "create", other.toString(), "--format=vmdk", "--size=1M")
                        .done();
                FerryHost.bare("image", "create", image.toString(), "--format=vmdk", "--backing=other")
                        .done();
                Files.delete(other);
            }
            default -> {
                String format = kind.substring(0, kind.indexOf(' '));
                FerryHost.bare("image", "create", other.toString(), "--format=" + format, "--size=1M")
                        .done();
                FerryHost.bare("image", "create", image.toString(), "--format=" + format, "--backing=other")
                        .done();
                Files.delete(other);
            }
        }
        succeeds("mkfifo", other);
        return image;
    }

    @ParameterizedTest
    @ValueSource(strings = {"backing file", "data file", "extent", "parent", "vhd parent", "vhdx parent"})
    void opensNoOtherFile(String kind) throws Exception {
        Path image = image(kind);
        for (List<String> command : List.of(
                List.of("image", "info", image.toString()), List.of("image", "info", image.toString(), "--json"))) {
            Process process = new ProcessBuilder(Installation.command(Self.Part.DAEMON, command))
                    .redirectErrorStream(true)
                    .redirectOutput(directory.resolve("said").toFile())
                    .start();
            try {
                assertThat(process.waitFor(SECONDS_MAX, TimeUnit.SECONDS))
                        .as("it ends")
                        .isTrue();
                String said = Files.readString(directory.resolve("said"), StandardCharsets.UTF_8);
                assertThat(process.exitValue()).as(said).isZero();
                assertThat(said).contains(kind.equals("extent") ? "vmdk" : "other");
            } finally {
                process.destroyForcibly();
            }
        }
    }
}
