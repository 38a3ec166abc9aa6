package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.Stacks;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The room that images take, as qemu-img has it, and as they take it. */
@Timeout(120)
final class ImageMeasureTest {
    private static final JsonMapper JSON = new JsonMapper();

    @TempDir
    Path directory;

    /** Data in pieces that begin and end anywhere in a block, with holes between. */
    private Path sparse(long sizeBytes) throws Exception {
        Path file = directory.resolve("disk.raw");
        SplittableRandom random = new SplittableRandom(sizeBytes);
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(sizeBytes);
            for (int i = 0; i < 20; i++) {
                byte[] piece = new byte[random.nextInt(1, 200_000)];
                random.nextBytes(piece);
                made.seek(random.nextLong(sizeBytes - piece.length));
                made.write(piece);
            }
        }
        return file;
    }

    @ParameterizedTest
    @CsvSource({"512, 33554432", "65536, 33554432", "65536, 1000000512", "2097152, 300000256"})
    void isThatOfQemuAndEnough(long clusterBytes, long sizeBytes) throws Exception {
        Path disk = sparse(sizeBytes);
        JsonNode ours = FerryHost.bare(
                        "image",
                        "measure",
                        disk.toString(),
                        "--format",
                        "qcow2",
                        "--cluster-size",
                        Long.toString(clusterBytes),
                        "--json")
                .done()
                .json();
        assertThat(ours)
                .isEqualTo(JSON.readTree(succeeds(
                        "qemu-img",
                        "measure",
                        "--output=json",
                        "-f",
                        "raw",
                        "-O",
                        "qcow2",
                        "-o",
                        "cluster_size=" + clusterBytes,
                        disk.toString())));
        Path image = directory.resolve("disk.qcow2");
        FerryHost.bare(
                        "image",
                        "convert",
                        disk.toString(),
                        image.toString(),
                        "--format",
                        "qcow2",
                        "--cluster-size",
                        Long.toString(clusterBytes))
                .done();
        assertThat(Stacks.allocatedBytes(image))
                .isLessThanOrEqualTo(ours.path("required").asLong());
    }

    @ParameterizedTest
    @ValueSource(strings = {"512", "1048576", "107374182400", "17592186044416"})
    void ofADiskThatHoldsNothing(String sizeBytes) throws Exception {
        for (String format : List.of("raw", "qcow2")) {
            assertThat(FerryHost.bare("image", "measure", "--size", sizeBytes, "--format", format, "--json")
                            .done()
                            .json())
                    .isEqualTo(JSON.readTree(
                            succeeds("qemu-img", "measure", "--output=json", "-O", format, "--size", sizeBytes)));
        }
    }

    @Test
    void isToldToPeople() {
        String said = FerryHost.bare("image", "measure", "--size", "1G", "--format", "qcow2")
                .done()
                .out();
        assertThat(said).contains("required", "fully allocated", "(1074135040 bytes)");
    }

    @Test
    void whatCannotBeMeasuredIsRefused() {
        FerryHost.bare("image", "measure", "--format", "qcow2").failed(2, "say either FILE");
        FerryHost.bare("image", "measure", "disk.raw", "--size", "1G", "--format", "qcow2")
                .failed(2, "say either FILE");
        FerryHost.bare("image", "measure", "--size", "1G", "--format", "vmdk").failed(2, "not vmdk");
        FerryHost.bare("image", "measure", "--size", "0", "--format", "qcow2").failed(2, "at least one byte");
        FerryHost.bare("image", "measure", directory.resolve("gone").toString(), "--format", "qcow2")
                .failed(1, "gone");
    }
}
