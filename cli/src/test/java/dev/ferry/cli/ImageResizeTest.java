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

/** {@code ferry image resize} of VMDK, VHD and VHDX, as QEMU sees what comes out. */
@Timeout(120)
final class ImageResizeTest {
    private static final int SIZE = 5 << 20;

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

    @Test
    void whatKeepsItsSizeSaysSo() throws Exception {
        String split =
                made("split.vmdk", "vmdk", "twoGbMaxExtentSparse", noise()).toString();
        FerryHost.bare("image", "resize", split, "9M", "--format", "vmdk").failed(1, "convert it");
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
