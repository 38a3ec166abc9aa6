package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.Stacks;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.stream.Stream;
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

    private static final Path NONE = Path.of("");

    /** All files of an image, which is alone in its directory. */
    private static long lengths(Path folder) throws Exception {
        long bytes = 0;
        try (Stream<Path> files = Files.list(folder)) {
            for (Path each : files.toList()) {
                bytes += Files.size(each);
            }
        }
        return bytes;
    }

    private static JsonNode measured(Path disk, String sizeBytes, List<String> format) {
        List<String> command = new ArrayList<>(List.of("image", "measure", "--json"));
        command.addAll(disk.equals(NONE) ? List.of("--size", sizeBytes) : List.of(disk.toString()));
        command.addAll(format);
        return FerryHost.bare(command.toArray(String[]::new)).done().json();
    }

    private long converted(Path disk, String name, List<String> format) throws Exception {
        Path folder = Files.createDirectory(directory.resolve(name));
        List<String> command = new ArrayList<>(List.of(
                "image", "convert", disk.toString(), folder.resolve("disk").toString()));
        command.addAll(format);
        FerryHost.bare(command.toArray(String[]::new)).done();
        return lengths(folder);
    }

    /** Of these qemu-img tells nothing: the files are made, and are as long; but for a text, whose length hangs on their names. */
    @ParameterizedTest
    @CsvSource({
        "vmdk, monolithicSparse, 100000256",
        "vmdk, monolithicSparse, 512",
        "vmdk, twoGbMaxExtentSparse, 100000256",
        "vmdk, twoGbMaxExtentSparse, 6000000000",
        "vmdk, monolithicFlat, 100000256",
        "vmdk, twoGbMaxExtentFlat, 6000000000",
        "vmdk, vmfs, 33554432",
        "vhd, dynamic, 100000256",
        "vhd, dynamic, 6000000000",
        "vhd, fixed, 100000256",
        "vhdx, dynamic, 100000256",
        "vhdx, dynamic, 6000000000",
        "vhdx, fixed, 100000256"
    })
    void filesGetAsLongAsWasMeasured(String format, String kind, long sizeBytes) throws Exception {
        List<String> wanted = List.of("--format", format, "--subformat", kind);
        long textBytes = kind.startsWith("twoGb") || kind.equals("monolithicFlat") || kind.equals("vmfs") ? 2000 : 0;
        Path disk = sizeBytes > 1 << 20 ? sparse(sizeBytes) : Files.write(directory.resolve("disk.raw"), some(512));
        JsonNode told = measured(disk, "", wanted);
        long required = told.path("required").asLong();
        assertThat(converted(disk, "some", wanted)).isBetween(required - textBytes, required);

        long full = told.path("fully-allocated").asLong();
        assertThat(measured(NONE, Long.toString(sizeBytes), wanted)
                        .path("fully-allocated")
                        .asLong())
                .isEqualTo(full);
        if (sizeBytes < 1L << 30) {
            Path all = Files.write(directory.resolve("all.raw"), some((int) sizeBytes));
            assertThat(converted(all, "all", wanted)).isBetween(full - textBytes, full);
        } else {
            assertThat(full).isGreaterThan(sizeBytes).isLessThan(sizeBytes + sizeBytes / 100 + (16 << 20));
        }
        Path none = directory.resolve("none.raw");
        try (RandomAccessFile made = new RandomAccessFile(none.toFile(), "rw")) {
            made.setLength(sizeBytes);
        }
        long nothing = measured(NONE, Long.toString(sizeBytes), wanted)
                .path("required")
                .asLong();
        assertThat(converted(none, "none", wanted)).isBetween(nothing - textBytes, nothing);
    }

    private static byte[] some(int bytes) {
        byte[] some = new byte[bytes];
        new Random(bytes).nextBytes(some);
        return some;
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
        FerryHost.bare("image", "measure", "--size", "1G", "--format", "vmdk", "--subformat", "streamOptimized")
                .failed(2, "not known before");
        FerryHost.bare("image", "measure", "--size", "3T", "--format", "vmdk").failed(1, "less than 2 TiB");
        FerryHost.bare("image", "measure", "--size", "3T", "--format", "vhd").failed(1, "at most 2040 GiB");
        FerryHost.bare("image", "measure", "--size", "0", "--format", "qcow2").failed(2, "at least one byte");
        FerryHost.bare("image", "measure", directory.resolve("gone").toString(), "--format", "qcow2")
                .failed(1, "gone");
    }
}
