package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.image.ChannelDisk;
import dev.ferry.image.LoopBytes;
import dev.ferry.image.OnePass;
import dev.ferry.image.Program;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Images written here in one pass, compressed or not: QEMU checks them without a finding and reads the same, and so do we. */
class Qcow2WriterTest {
    private static final int SIZE = (5 << 20) - 3 * 512;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(5);

    /** Zeroes, text, noise, and what lies between, in stretches of any length. */
    private static byte[] mixed(SplittableRandom random) {
        byte[] content = new byte[SIZE];
        for (int at = 0; at < SIZE; ) {
            int end = Math.min(SIZE, at + 1 + random.nextInt(400_000));
            int kind = random.nextInt(4);
            for (; at < end; at++) {
                content[at] = (byte) (kind == 0 ? 0 : kind == 1 ? at >>> 9 : kind == 2 ? random.nextInt() : at % 251);
            }
        }
        return content;
    }

    private void write(Path image, byte[] content, Qcow2Options options, boolean packs) throws Exception {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        OnePass.write(bytes, new Qcow2Writer(bytes, content.length, options, packs), content);
        assertThat(OnLoop.await(loop, file::close)).isNull();
    }

    @ParameterizedTest
    @CsvSource({
        "16, zlib, 3",
        "16, zstd, 3",
        "9, zlib, 3",
        "12, zstd, 3",
        "21, zlib, 3",
        "21, zstd, 3",
        "16, zlib, 2",
        "16, plain, 3",
        "9, plain, 3",
        "21, plain, 2"
    })
    void whatIsWrittenHereIsReadByQemuAndByUs(int clusterBits, String how, int version) {
        Seeds.run(seed -> {
            byte[] content = mixed(new SplittableRandom(seed));
            Qcow2Options plain =
                    Qcow2Options.DEFAULT.withClusterBits(clusterBits).withVersion(version);
            Path image = directory.resolve("packed.qcow2");
            write(image, content, how.equals("zstd") ? plain.withZstd() : plain, !how.equals("plain"));
            Path raw = Files.write(directory.resolve("content.raw"), content);
            String said = Program.ok("qemu-img", "check", "-f", "qcow2", image);
            assertThat(said).contains("No errors were found");
            Program.ok("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
            CheckReport report = OpenImage.check(image, Qcow2Checker.Repair.NONE);
            assertThat(report.clean()).isTrue();
            assertThat(report.compressedClusters() > 0).isEqualTo(!how.equals("plain"));
            assertThat(Files.size(image)).isLessThan(content.length + (6L << clusterBits));
            try (OpenImage open = OpenImage.open(image)) {
                assertThat(Arrays.mismatch(open.content(), content)).isEqualTo(-1);
                open.load(seed, content, 100);
            }
            assertThat(OpenImage.check(image, Qcow2Checker.Repair.NONE).corruptions())
                    .isZero();
            Program.ok("qemu-img", "check", "-f", "qcow2", "-r", "leaks", image);
        });
    }

    @Test
    void optionsThatContradictEachOtherAreRefused() {
        Qcow2Options old = Qcow2Options.DEFAULT.withVersion(2).withZstd();
        assertThatThrownBy(() -> write(directory.resolve("no.qcow2"), new byte[512], old, true))
                .hasMessageContaining("no zstd");
    }
}
