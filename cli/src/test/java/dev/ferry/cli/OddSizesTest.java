package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Disks that are no whole number of sectors, in formats that have nothing else: zeroes are added, and said to be. */
@Timeout(120)
final class OddSizesTest {
    private static final int SIZE = (3 << 20) + 700;
    private static final int WHOLE = (3 << 20) + 1024;

    @TempDir
    Path directory;

    private Path raw() throws IOException {
        byte[] bytes = new byte[SIZE];
        new Random(9).nextBytes(bytes);
        Arrays.fill(bytes, 1 << 20, 2 << 20, (byte) 0);
        return Files.write(directory.resolve("odd.raw"), bytes);
    }

    @ParameterizedTest
    @CsvSource({
        "qcow2, qcow2, --cluster-size=64K",
        "qcow2, qcow2, --compress=zstd",
        "vmdk, vmdk, --subformat=monolithicSparse",
        "vmdk, vmdk, --subformat=twoGbMaxExtentFlat",
        "vmdk, vmdk, --subformat=streamOptimized",
        "vhd, vpc, --subformat=fixed",
        "vhdx, vhdx, --subformat=dynamic"
    })
    void oneIsConvertedToAFormatOfWholeSectorsAndBackToWhatItWas(String format, String theirs, String option)
            throws Exception {
        String raw = raw().toString();
        String image = directory.resolve("image").toString();
        FerryHost.Result made = FerryHost.bare("image", "convert", raw, image, "--format", format, option)
                .done();
        assertThat(made.out()).contains("324 bytes of zeroes at its end");
        assertThat(Stranger.succeeds("qemu-img", "info", "--output=json", "-f", theirs, image))
                .contains("\"virtual-size\": " + WHOLE);
        Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", theirs, raw, image);
        String back = directory.resolve("back.raw").toString();
        FerryHost.bare("image", "convert", image, back, "--from-format", format, "--format", "raw", "--size=" + SIZE)
                .done();
        assertThat(Path.of(back)).hasSameBinaryContentAs(Path.of(raw));
        String whole = directory.resolve("whole.raw").toString();
        FerryHost.bare("image", "convert", image, whole, "--from-format", format, "--format", "raw")
                .done();
        assertThat(Files.readAllBytes(Path.of(whole)))
                .isEqualTo(Arrays.copyOf(Files.readAllBytes(Path.of(raw)), WHOLE));
    }

    @Test
    void noMoreThanWhatAFormatHasAddedIsCutOff() throws Exception {
        String raw = raw().toString();
        String image = directory.resolve("image.qcow2").toString();
        FerryHost.bare("image", "convert", raw, image, "--format", "qcow2").done();
        String no = directory.resolve("no.raw").toString();
        for (int size : new int[] {SIZE - 700, WHOLE + 1, 1 << 20}) {
            FerryHost.bare("image", "convert", image, no, "--from-format", "qcow2", "--format", "raw", "--size=" + size)
                    .failed(2, "ferry image resize");
        }
        FerryHost.bare(
                        "image",
                        "convert",
                        image,
                        no,
                        "--from-format",
                        "qcow2",
                        "--format",
                        "raw",
                        "--size=" + (SIZE - 1))
                .failed(2, "there is data");
        assertThat(Path.of(no)).doesNotExist();
    }

    @Test
    void anImageOfAnOddSizeIsMadeInWholeSectors() throws Exception {
        String image = directory.resolve("made.qcow2").toString();
        FerryHost.Result made = FerryHost.bare("image", "create", image, "--format", "qcow2", "--size", "1000")
                .done();
        assertThat(made.out()).contains("24 bytes of zeroes");
        assertThat(Stranger.succeeds("qemu-img", "info", "--output=json", "-f", "qcow2", image))
                .contains("\"virtual-size\": 1024");
        String raw = directory.resolve("made.raw").toString();
        FerryHost.Result same = FerryHost.bare("image", "create", raw, "--format", "raw", "--size", "1000")
                .done();
        assertThat(same.out()).doesNotContain("zeroes");
        assertThat(Files.size(Path.of(raw))).isEqualTo(1000);
    }
}
