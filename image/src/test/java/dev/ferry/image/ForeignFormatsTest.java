package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.image.vmdk.WritableVmdk;
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
                List.of("vpc", "subformat=fixed,force_size=on", "flat"),
                List.of("vhdx", "subformat=dynamic", "flat"),
                List.of("vhdx", "subformat=dynamic,block_size=1M,block_state_zero=off", "sparse"),
                List.of("vhdx", "subformat=fixed", "flat"));
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void whatQemuWroteIsReadHere(List<String> kind) {
        Seeds.run(seed -> {
            byte[] content = patches(seed);
            Path image = written(content, kind.get(0), kind.get(1));
            ForeignDisk disk = ForeignDisk.of(kind.get(0), loop, image);
            assertThat(disk.device.geometry().sizeBytes()).isEqualTo(SIZE);
            assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
            if (kind.get(2).equals("sparse")) {
                assertThat(disk.zeroes(content)).isPositive();
            }
            IoBuffer buffer = IoBuffer.allocate(512);
            BlockError refused = OnLoop.await(loop, end -> disk.device.write(0, buffer, 0, 512, 0, end));
            assertThat(refused == null ? null : refused.kind()).isEqualTo(ErrorKind.READ_ONLY);
            disk.close();
        });
    }

    /** Fixed numbers, so that a size that QEMU rounds by geometry is the size that it shows. */
    @Test
    void aDiskHasTheSizeThatQemuSees() throws Exception {
        for (String options : List.of("subformat=dynamic", "subformat=dynamic,force_size=on")) {
            Path image = directory.resolve("sized.vhd");
            Program.ok("qemu-img", "create", "-f", "vpc", "-o", options, image, "100000256");
            String info = Program.ok("qemu-img", "info", "--output=json", "-f", "vpc", image);
            long size = VhdImage.open(ForeignDisk.file(loop, image).bytes()).sizeBytes();
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
            assertThatThrownBy(() -> ForeignDisk.vmdk(loop, image)).as(name).hasMessageContaining("not beside");
        }
    }

    /** In both compatibilities: the descriptor is read, and the disk is the device that the operator says. */
    @ParameterizedTest
    @ValueSource(strings = {"vmfsRawDeviceMap", "vmfsPassthroughRawDeviceMap"})
    void aRawDeviceMapIsTheDeviceThatItIsMappedTo(String kind) throws Exception {
        byte[] content = patches(9);
        Path device = Files.write(directory.resolve("device"), Arrays.copyOf(content, SIZE + 4096));
        Path map = directory.resolve("disk.vmdk");
        Files.writeString(
                map,
                "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"" + kind + "\"\nRW "
                        + SIZE / 512 + " VMFSRDM \"disk-rdm.vmdk\"\n");
        Neighbours mapped = new Neighbours() {
            @Override
            public OpenFile open(String name) {
                throw new AssertionError(name);
            }

            @Override
            public OpenFile openDevice(String name, boolean readOnly) throws BlockException {
                assertThat(name).isEqualTo("disk-rdm.vmdk");
                return ForeignDisk.file(loop, device);
            }
        };
        BlockDevice reader = VmdkImage.open(ForeignDisk.file(loop, map), loop, loop, mapped);
        IoBuffer buffer = IoBuffer.allocate(SIZE);
        assertThat(OnLoop.await(loop, end -> reader.read(0, buffer, 0, SIZE, end)))
                .isNull();
        byte[] found = new byte[SIZE];
        buffer.copyTo(0, found, 0, SIZE);
        assertThat(Arrays.mismatch(found, content)).isEqualTo(-1);
        assertThat(OnLoop.await(loop, reader::close)).isNull();
        BlockDevice writer =
                CheckedDevice.of(WritableVmdk.open(ForeignDisk.file(loop, map), loop, loop, mapped, 7), "mapped");
        buffer.zero(0, 512);
        assertThat(OnLoop.await(loop, end -> writer.write(1024, buffer, 0, 512, 0, end)))
                .isNull();
        assertThat(OnLoop.await(loop, writer::close)).isNull();
        assertThat(Arrays.copyOfRange(Files.readAllBytes(device), 1024, 1536)).isEqualTo(new byte[512]);
        assertThat(Files.readString(map)).contains("CID=00000007");
        Files.write(device, new byte[SIZE - 512]);
        assertThatThrownBy(() -> VmdkImage.open(ForeignDisk.file(loop, map), loop, loop, mapped))
                .hasMessageContaining("shorter");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "RW 0 FLAT \"flat\" 0|0 sectors",
                "RW 100 FLAT \"flat\" 0|shorter than its descriptor",
                "RW 4 FLAT \"flat\" 1000|shorter than its descriptor",
                "RW 4 SPARSE \"flat\"|not a sparse VMDK file",
                "RW 4 VMFSSPARSE \"flat\"|it is none",
                "RW 4 SESPARSE \"flat\"|it is none",
                "RW 4 VMFSRDM \"flat\"|--map-device flat=PATH",
                "RW 4 VMFSX \"flat\"|kind VMFSX",
                "CID=12345678x|no number",
                "nothing|no extent"
            })
    void descriptorsThatCannotBeAreRefused(String lineAndWords) throws Exception {
        String[] parts = lineAndWords.split("\\|", -1);
        Files.write(directory.resolve("flat"), new byte[4096]);
        Path image = directory.resolve("odd.vmdk");
        Files.writeString(image, "# Disk DescriptorFile\nversion=1\n" + parts[0] + "\n", StandardCharsets.UTF_8);
        assertThatThrownBy(() -> ForeignDisk.vmdk(loop, image)).hasMessageContaining(parts[1]);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"vmdk:monolithicSparse", "vmdk:streamOptimized", "vpc:dynamic", "vpc:fixed", "vhdx:dynamic"})
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
                ForeignDisk.use(parts[0], loop, Files.write(directory.resolve("damaged"), damaged));
            }
        });
    }
}
