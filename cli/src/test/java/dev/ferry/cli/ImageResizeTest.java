package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code ferry image resize} of VMDK, VHD and VHDX, as QEMU sees what comes out. */
@Timeout(120)
final class ImageResizeTest {
    private static final int SIZE = 5 << 20;

    /** What one of several files has at most. */
    private static final long SPLIT = 4192256L * 512;

    @TempDir
    Path directory;

    private Path made(String name, String format, String kind, byte[] content) throws IOException {
        Path raw = Files.write(directory.resolve("raw"), content);
        Path image = directory.resolve(name);
        FerryHost.bare("image", "convert", raw.toString(), image.toString(), "--format", format, "--subformat", kind)
                .done();
        return image;
    }

    private static byte[] noise() {
        byte[] content = new byte[SIZE];
        new Random(6).nextBytes(content);
        return content;
    }

    @ParameterizedTest
    @CsvSource({
        "vmdk, vmdk, monolithicSparse",
        "vmdk, vmdk, monolithicFlat",
        "vmdk, vmdk, vmfs",
        "vmdk, vmdk, twoGbMaxExtentSparse",
        "vmdk, vmdk, twoGbMaxExtentFlat",
        "vhd, vpc, dynamic",
        "vhd, vpc, fixed",
        "vhdx, vhdx, dynamic",
        "vhdx, vhdx, fixed"
    })
    void aDiskIsMadeLongerAndShorter(String format, String theirs, String kind) throws Exception {
        byte[] content = noise();
        String image = made("disk", format, kind, content).toString();
        for (int size : new int[] {40 << 20, 3 << 20, 6 << 20}) {
            if (size < content.length) {
                FerryHost.bare("image", "resize", image, String.valueOf(size), "--format", format)
                        .failed(2, "--shrink");
            }
            FerryHost.bare("image", "resize", image, String.valueOf(size), "--format", format, "--shrink")
                    .done();
            content = Arrays.copyOf(content, size);
            Path raw = Files.write(directory.resolve("raw"), content);
            assertThat(Stranger.succeeds("qemu-img", "info", "--output=json", "-f", theirs, image))
                    .contains("\"virtual-size\": " + size);
            Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", theirs, raw.toString(), image);
            FerryHost.bare("image", "compare", raw.toString(), image, "--format-b", format)
                    .done();
            FerryHost.bare("image", "check", image, "--format", format).done();
        }
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(Path.of(image))))
                .isEqualTo("rw-------");
        try (var files = Files.list(directory)) {
            assertThat(files.map(Path::getFileName).map(Path::toString))
                    .as("what is left behind")
                    .allMatch(name -> !name.startsWith("."));
        }
    }

    /** Across the 2 GiB that a file of it has at most, to and fro; QEMU writes to it in between, everywhere. */
    @ParameterizedTest
    @ValueSource(strings = {"twoGbMaxExtentSparse", "twoGbMaxExtentFlat"})
    void aDiskInSeveralFilesGetsMoreOfThemAndFewer(String kind) throws Exception {
        Path raw = directory.resolve("raw");
        Path image = directory.resolve("split.vmdk");
        Stranger.succeeds("qemu-img", "create", "-f", "vmdk", "-o", "subformat=" + kind, image, "5M");
        Stranger.succeeds("qemu-img", "create", "-f", "raw", raw, "5M");
        long end = 5 << 20;
        int value = 0;
        for (long size : new long[] {
            5L << 30, SPLIT, 2 * SPLIT - 512, (3L << 30) + 1024, 1L << 30, SPLIT + 512, 2 * SPLIT + (1 << 20), 7 << 20
        }) {
            value++;
            for (long at : new long[] {1 << 20, end - (64 << 10), end / 3 & -512, SPLIT - 512}) {
                if (at + (64 << 10) <= end) {
                    String write = "write -P " + value + " " + at + " 64k";
                    Stranger.succeeds("qemu-io", "-f", "vmdk", "-c", write, image);
                    Stranger.succeeds("qemu-io", "-f", "raw", "-c", write, raw);
                }
            }
            FerryHost.bare("image", "resize", image.toString(), String.valueOf(size), "--format", "vmdk", "--shrink")
                    .done();
            Stranger.succeeds("qemu-img", "resize", "--shrink", "-f", "raw", raw, size);
            end = size;
            assertThat(Stranger.succeeds("qemu-img", "info", "--output=json", "-f", "vmdk", image))
                    .contains("\"virtual-size\": " + size);
            Stranger.succeeds("qemu-img", "check", "-f", "vmdk", image);
            Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, image);
            FerryHost.bare("image", "check", image.toString(), "--format", "vmdk")
                    .done();
            FerryHost.bare("image", "compare", raw.toString(), image.toString(), "--format-b", "vmdk")
                    .done();
            String text = Files.readString(image);
            assertThat(text.lines().filter(line -> line.startsWith("RW"))).hasSize((int) Math.ceilDiv(size, SPLIT));
            try (var files = Files.list(directory)) {
                assertThat(files.map(file -> file.getFileName().toString())
                                .filter(name -> !name.equals("raw") && !name.equals("split.vmdk")))
                        .as("files that no text names")
                        .allMatch(name -> text.contains("\"" + name + "\""));
            }
        }
    }

    @Test
    void whatKeepsItsSizeSaysSo() throws Exception {
        String packed = made("packed.vmdk", "vmdk", "streamOptimized", noise()).toString();
        FerryHost.bare("image", "resize", packed, "9M", "--format", "vmdk").failed(1, "compressed");
        String flat = made("flat.vmdk", "vmdk", "monolithicFlat", noise()).toString();
        String delta = directory.resolve("delta.vmdk").toString();
        FerryHost.bare("image", "create", delta, "--format", "vmdk", "--backing", "flat.vmdk")
                .done();
        FerryHost.bare("image", "resize", delta, "9M", "--format", "vmdk").failed(1, "size of its parent");
        // The parent has been changed, and says so.
        FerryHost.bare("image", "resize", flat, "9M", "--format", "vmdk").done();
        FerryHost.bare("image", "map", delta, "--format", "vmdk").failed(1, "content ID");
        FerryHost.bare("image", "resize", flat, "1000", "--format", "vmdk", "--shrink")
                .failed(1, "multiple of 512");
    }
}
