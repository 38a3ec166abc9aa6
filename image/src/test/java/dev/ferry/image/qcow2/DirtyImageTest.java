package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.image.Program;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** An image with lazy refcounts, whose QEMU was killed, says that its counts are not to be believed: they are made right before a write. */
class DirtyImageTest {
    private static final int SIZE = 4 << 20;

    @TempDir
    Path directory;

    private static boolean dirty(byte[] image) {
        return (image[Qcow2Layout.INCOMPATIBLE + 7] & Qcow2Layout.INCOMPATIBLE_DIRTY) != 0;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"lazy_refcounts=on", "lazy_refcounts=on,cluster_size=4k", "lazy_refcounts=on,extended_l2=on"})
    void isReadAsItIsAndMendedBeforeItIsWritten(String options) throws Exception {
        Path image = directory.resolve("image.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", "-o", options, image, SIZE);
        Program.Outcome killed = Program.run(
                "qemu-io",
                "-f",
                "qcow2",
                "-c",
                "write -P 5 100k 1M",
                "-c",
                "write -P 6 2M 300k",
                "-c",
                "flush",
                "-c",
                "sigraise 9",
                image);
        assertThat(killed.status()).isEqualTo(128 + 9);
        byte[] content = new byte[SIZE];
        Arrays.fill(content, 100 << 10, (100 << 10) + (1 << 20), (byte) 5);
        Arrays.fill(content, 2 << 20, (2 << 20) + (300 << 10), (byte) 6);
        byte[] left = Files.readAllBytes(image);
        assertThat(dirty(left)).isTrue();
        assertThat(OpenImage.check(image, Qcow2Checker.Repair.NONE).corruptions())
                .as("counts too low")
                .isPositive();
        try (OpenImage open = OpenImage.readOnly(image)) {
            assertThat(Arrays.mismatch(open.content(), content)).isEqualTo(-1);
        }
        assertThat(Files.readAllBytes(image)).as("reading changes nothing").isEqualTo(left);
        byte[] more = new byte[200 << 10];
        Arrays.fill(more, (byte) 7);
        try (OpenImage open = OpenImage.open(image)) {
            open.write(3 << 20, more);
        }
        System.arraycopy(more, 0, content, 3 << 20, more.length);
        assertThat(dirty(Files.readAllBytes(image))).isFalse();
        Program.ok("qemu-img", "check", "-f", "qcow2", image);
        Path raw = Files.write(directory.resolve("raw"), content);
        Program.ok("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
    }
}
