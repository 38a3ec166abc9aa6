package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.testkit.MemoryDisk;
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

/** VMDK files written here: QEMU checks them without a finding and reads the same, and so do we. */
class VmdkWriterTest {
    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(5);

    private void write(Path image, byte[] content, VmdkKind kind) throws Exception {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        VmdkText text = new VmdkText(kind, image.getFileName().toString(), content.length, 0x1234abcd);
        LoopBytes bytes = new LoopBytes(loop, file);
        OnePass.write(bytes, new VmdkWriter(bytes, text), content);
        assertThat(OnLoop.await(loop, file::close)).isNull();
    }

    /** 32 MiB is what one table is for: less than that, more, and a part of a grain. */
    @ParameterizedTest
    @CsvSource({
        "MONOLITHIC_SPARSE, 512",
        "MONOLITHIC_SPARSE, 5000192",
        "MONOLITHIC_SPARSE, 36701184",
        "STREAM_OPTIMIZED, 512",
        "STREAM_OPTIMIZED, 5000192",
        "STREAM_OPTIMIZED, 36701184"
    })
    void whatIsWrittenHereIsReadByQemuAndByUs(VmdkKind kind, int size) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] content = new byte[size];
            for (int i = 0; i < 12; i++) {
                byte[] patch = new byte[1 + random.nextInt(Math.min(size, 300_000))];
                if (random.nextBoolean()) {
                    random.nextBytes(patch);
                } else {
                    Arrays.fill(patch, (byte) (i + 1));
                }
                System.arraycopy(patch, 0, content, random.nextInt(size - patch.length + 1), patch.length);
            }
            Path image = directory.resolve("disk.vmdk");
            Files.deleteIfExists(image);
            write(image, content, kind);
            Path raw = Files.write(directory.resolve("content.raw"), content);
            Program.ok("qemu-img", "check", "-f", "vmdk", image);
            Program.ok("qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, image);
            assertThat(Program.ok("qemu-img", "info", "-f", "vmdk", image)).contains(kind.text(), "305441741");
            ForeignDisk disk = ForeignDisk.vmdk(loop, image);
            assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
            assertThat(disk.zeroes(content)).isGreaterThanOrEqualTo(0);
            disk.close();
        });
    }

    @Test
    void aDeltaOverOneIsMadeAndReadByQemu() throws Exception {
        Path base = directory.resolve("base.vmdk");
        byte[] content = new byte[1 << 20];
        Arrays.fill(content, (byte) 3);
        write(base, content, VmdkKind.MONOLITHIC_SPARSE);
        Path delta = directory.resolve("delta.vmdk");
        Program.ok("qemu-img", "create", "-f", "vmdk", "-b", base, "-F", "vmdk", delta);
        Program.ok("qemu-io", "-f", "vmdk", "-c", "write -P 4 0 512", "-c", "read -P 3 512 4k", delta);
    }

    @Test
    void aDiskThatDoesNotFitIntoOneFileIsRefused() {
        LoopBytes file = new LoopBytes(loop, CheckedDevice.of(MemoryDisk.growing(1 << 20), "file"));
        VmdkText text = new VmdkText(VmdkKind.MONOLITHIC_SPARSE, "large.vmdk", 3L << 40, 1);
        assertThatThrownBy(() -> new VmdkWriter(file, text)).hasMessageContaining("2 TiB");
    }
}
