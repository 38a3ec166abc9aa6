package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** VMDK and VHD as QEMU writes them are read byte by byte; damaged ones are a clear error and nothing else. */
class ForeignFormatsTest {
    /** Whole cylinders of 16 heads and 63 sectors, so that no format rounds it. */
    private static final int SIZE = 24 * 16 * 63 * 512;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(1);

    private VmdkImage.OpenFile file(Path path) throws BlockException {
        try {
            BlockDevice device = CheckedDevice.of(new ChannelDisk(path), "file");
            return new VmdkImage.OpenFile(new LoopBytes(loop, device), device);
        } catch (IOException failed) {
            throw BlockError.of(ErrorKind.IO, path.toString(), "open", String.valueOf(failed.getMessage()))
                    .toException();
        }
    }

    private BlockDevice vmdk(Path path) throws BlockException {
        BlockDevice device = VmdkImage.open(file(path), loop, loop, name -> file(directory.resolve(name)));
        return CheckedDevice.of(device, "vmdk");
    }

    private BlockDevice vhd(Path path) throws BlockException {
        VmdkImage.OpenFile file = file(path);
        return CheckedDevice.of(VhdImage.open(file.bytes()).device(file.device()), "vhd");
    }

    private byte[] content(BlockDevice device) {
        int size = Math.toIntExact(device.geometry().sizeBytes());
        IoBuffer whole = IoBuffer.allocate(size);
        // In odd pieces, so that grains are read in part.
        for (int at = 0; at < size; at += 300_123) {
            int from = at;
            int length = Math.min(300_123, size - at);
            assertThat(OnLoop.await(loop, end -> device.read(from, whole, from, length, end)))
                    .isNull();
        }
        byte[] bytes = new byte[size];
        whole.copyTo(0, bytes, 0, size);
        return bytes;
    }

    private void holesAreTrue(BlockDevice device, byte[] content, boolean sparse) {
        long[] at = {0, 0};
        while (at[0] < content.length) {
            long from = at[0];
            assertThat(OnLoop.await(
                            loop,
                            end -> device.extents(
                                    from,
                                    content.length - from,
                                    (offset, length, state) -> {
                                        assertThat(offset).isEqualTo(at[0]);
                                        at[0] += length;
                                        if ((state & ExtentSink.ZERO) != 0) {
                                            at[1] += length;
                                            byte[] part = Arrays.copyOfRange(content, (int) offset, (int) at[0]);
                                            assertThat(part).isEqualTo(new byte[part.length]);
                                        }
                                    },
                                    end)))
                    .isNull();
        }
        assertThat(at[1] > 0).isEqualTo(sparse);
    }

    private static byte[] patches(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] content = new byte[SIZE];
        for (int i = 0; i < 6; i++) {
            byte[] patch = new byte[1 + random.nextInt(200_000)];
            random.nextBytes(patch);
            int at = random.nextInt(SIZE / 2);
            System.arraycopy(patch, 0, content, at, patch.length);
        }
        content[SIZE - 1] = 9;
        return content;
    }

    private Path written(byte[] content, String format, String options) throws IOException {
        Path raw = Files.write(directory.resolve("content.raw"), content);
        Path image = directory.resolve("disk." + format);
        Program.ok("qemu-img", "convert", "-f", "raw", "-O", format, "-o", options, raw, image);
        return image;
    }

    static Stream<List<String>> kinds() {
        return Stream.of(
                List.of("vmdk", "subformat=monolithicSparse", "sparse"),
                List.of("vmdk", "subformat=monolithicSparse,zeroed_grain=on", "sparse"),
                List.of("vmdk", "subformat=monolithicFlat", "flat"),
                List.of("vmdk", "subformat=twoGbMaxExtentSparse", "sparse"),
                List.of("vmdk", "subformat=twoGbMaxExtentFlat", "flat"),
                List.of("vmdk", "subformat=streamOptimized", "sparse"),
                List.of("vpc", "subformat=dynamic,force_size=on", "sparse"),
                List.of("vpc", "subformat=fixed,force_size=on", "flat"));
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void whatQemuWroteIsReadHere(List<String> kind) {
        Seeds.run(seed -> {
            byte[] content = patches(seed);
            Path image = written(content, kind.get(0), kind.get(1));
            BlockDevice device = kind.get(0).equals("vmdk") ? vmdk(image) : vhd(image);
            assertThat(device.geometry().sizeBytes()).isEqualTo(SIZE);
            assertThat(Arrays.mismatch(content(device), content)).isEqualTo(-1);
            if (kind.get(2).equals("sparse")) {
                holesAreTrue(device, content, true);
            }
            IoBuffer buffer = IoBuffer.allocate(512);
            BlockError refused = OnLoop.await(loop, end -> device.write(0, buffer, 0, 512, 0, end));
            assertThat(refused == null ? null : refused.kind()).isEqualTo(ErrorKind.READ_ONLY);
            assertThat(OnLoop.await(loop, device::close)).isNull();
        });
    }

    /** Fixed numbers, so that a size that QEMU rounds by geometry is the size that it shows. */
    @Test
    void aDiskHasTheSizeThatQemuSees() throws Exception {
        for (String options : List.of("subformat=dynamic", "subformat=dynamic,force_size=on")) {
            Path image = directory.resolve("sized.vhd");
            Program.ok("qemu-img", "create", "-f", "vpc", "-o", options, image, "100000256");
            String info = Program.ok("qemu-img", "info", "--output=json", "-f", "vpc", image);
            long size = VhdImage.open(file(image).bytes()).sizeBytes();
            assertThat(info).contains("\"virtual-size\": " + size);
        }
    }

    @Test
    void anExtentOutsideTheFolderIsRefused() throws Exception {
        for (String name : List.of("../secret", "/etc/passwd", "a/b", "a\\b", "..", "")) {
            Path image = directory.resolve("hostile.vmdk");
            Files.writeString(
                    image,
                    "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
                            + "createType=\"monolithicFlat\"\nRW 100 FLAT \"" + name + "\" 0\n");
            assertThatThrownBy(() -> vmdk(image)).as(name).hasMessageContaining("not beside");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "RW 0 FLAT \"flat\" 0|0 sectors",
                "RW 100 FLAT \"flat\" 0|shorter than its descriptor",
                "RW 4 FLAT \"flat\" 1000|shorter than its descriptor",
                "RW 4 SPARSE \"flat\"|not a sparse VMDK file",
                "RW 4 VMFSRDM \"flat\"|kind VMFSRDM",
                "parentCID=12345678|delta disk",
                "nothing|no extent"
            })
    void descriptorsThatCannotBeAreRefused(String lineAndWords) throws Exception {
        String[] parts = lineAndWords.split("\\|", -1);
        Files.write(directory.resolve("flat"), new byte[4096]);
        Path image = directory.resolve("odd.vmdk");
        Files.writeString(image, "# Disk DescriptorFile\nversion=1\n" + parts[0] + "\n", StandardCharsets.UTF_8);
        assertThatThrownBy(() -> vmdk(image)).hasMessageContaining(parts[1]);
    }

    @ParameterizedTest
    @ValueSource(strings = {"vmdk:monolithicSparse", "vmdk:streamOptimized", "vpc:dynamic", "vpc:fixed"})
    void damageAnywhereIsAClearErrorAndNothingElse(String kind) {
        Seeds.run(seed -> {
            String[] parts = kind.split(":", -1);
            Path image = written(patches(seed), parts[0], "subformat=" + parts[1]);
            byte[] sound = Files.readAllBytes(image);
            SplittableRandom random = new SplittableRandom(seed);
            for (int round = 0; round < 60; round++) {
                byte[] damaged =
                        random.nextInt(6) == 0 ? Arrays.copyOf(sound, random.nextInt(sound.length)) : sound.clone();
                for (int i = random.nextInt(4); i >= 0 && damaged.length > 8; i--) {
                    int area = Math.min(damaged.length, random.nextBoolean() ? 600 : 40_000);
                    int at = random.nextInt(random.nextInt(4) == 0 ? damaged.length : area);
                    damaged[random.nextInt(5) == 0 ? damaged.length - 1 - at % 1500 % damaged.length : at] =
                            (byte) (random.nextBoolean() ? -1 : random.nextInt());
                }
                use(parts[0], Files.write(directory.resolve("damaged"), damaged));
            }
        });
    }

    private void use(String format, Path image) {
        try {
            BlockDevice device = format.equals("vmdk") ? vmdk(image) : vhd(image);
            long size = device.geometry().sizeBytes();
            IoBuffer buffer = IoBuffer.allocate(1 << 20);
            for (long at = 0; at < Math.min(size, 8 << 20); at += 1 << 20) {
                long from = at;
                int length = (int) Math.min(1 << 20, size - at);
                BlockError error = OnLoop.await(loop, end -> device.read(from, buffer, 0, length, end));
                assertThat(error == null || !error.detail().isBlank()).isTrue();
            }
            BlockError closed = OnLoop.await(loop, device::close);
            assertThat(closed).isNull();
        } catch (BlockException clear) {
            assertThat(clear.error().detail()).isNotBlank();
        }
    }
}
