package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.image.ChannelDisk;
import dev.ferry.image.ClusterPacker;
import dev.ferry.image.LoopBytes;
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

/** Compressed images written here: QEMU checks them without a finding and reads the same, and so do we. */
class Qcow2PackerTest {
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

    private void pack(Path image, byte[] content, Qcow2Options options) throws Exception {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        int cluster = 1 << options.clusterBits();
        byte[] packed = new byte[cluster];
        Qcow2Packer packer = new Qcow2Packer(new LoopBytes(loop, file), content.length, options);
        try (ClusterPacker compressor = packer.packer()) {
            for (int at = 0; at < content.length; at += cluster) {
                byte[] one = Arrays.copyOfRange(content, at, at + cluster);
                if (Arrays.equals(one, new byte[cluster])) {
                    packer.zeroes(1);
                } else {
                    packer.cluster(packed, 0, compressor.pack(one, 0, packed, 0));
                }
            }
        }
        packer.finish();
        assertThat(OnLoop.await(loop, file::close)).isNull();
    }

    @ParameterizedTest
    @CsvSource({
        "16, false, 3",
        "16, true, 3",
        "9, false, 3",
        "12, true, 3",
        "21, false, 3",
        "21, true, 3",
        "16, false, 2"
    })
    void whatIsPackedHereIsReadByQemuAndByUs(int clusterBits, boolean zstd, int version) {
        Seeds.run(seed -> {
            byte[] content = mixed(new SplittableRandom(seed));
            Qcow2Options plain =
                    Qcow2Options.DEFAULT.withClusterBits(clusterBits).withVersion(version);
            Path image = directory.resolve("packed.qcow2");
            pack(image, content, zstd ? plain.withZstd() : plain);
            Path raw = Files.write(directory.resolve("content.raw"), content);
            String said = Program.ok("qemu-img", "check", "-f", "qcow2", image);
            assertThat(said).contains("No errors were found");
            Program.ok("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
            CheckReport report = OpenImage.check(image, Qcow2Checker.Repair.NONE);
            assertThat(report.clean()).isTrue();
            assertThat(report.compressedClusters()).isPositive();
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
        assertThatThrownBy(() -> pack(directory.resolve("no.qcow2"), new byte[512], old))
                .hasMessageContaining("no zstd");
    }
}
