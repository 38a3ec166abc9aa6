package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Disks in VMDK, VHD and VHDX that are changed in place, by turns with QEMU: both see the same, and QEMU finds no flaw. */
class GrownFormatsTest {
    /** No whole number of cylinders, blocks or grains. */
    private static final int SIZE = (9 << 20) + 3 * 512;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(3);

    private Path made(GrownFormat format) throws IOException, BlockException {
        Path image = directory.resolve("disk." + format.qemu);
        Files.deleteIfExists(image);
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        format.create(new LoopBytes(loop, file), SIZE);
        assertThat(OnLoop.await(loop, file::close)).isNull();
        return image;
    }

    private BlockDevice open(GrownFormat format, Path image) throws IOException, BlockException {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        return CheckedDevice.of(format.open(loop, new OpenFile(new LoopBytes(loop, file), file)), "disk");
    }

    private void write(BlockDevice device, byte[] content, int from, int length) {
        IoBuffer buffer = IoBuffer.allocate(length);
        buffer.copyFrom(content, from, 0, length);
        assertThat(OnLoop.await(loop, end -> device.write(from, buffer, 0, length, 0, end)))
                .isNull();
    }

    private void change(BlockDevice device, byte[] content, SplittableRandom random) {
        for (int i = 0; i < 12; i++) {
            int from = random.nextInt(SIZE / 512) * 512;
            int length = Math.min(SIZE - from, (1 + random.nextInt(random.nextInt(3) == 0 ? 3000 : 20)) * 512);
            if (random.nextInt(4) == 0) {
                Arrays.fill(content, from, from + length, (byte) 0);
                boolean discard = random.nextBoolean();
                assertThat(OnLoop.await(loop, end -> {
                            if (discard) {
                                device.discard(from, length, 0, end);
                            } else {
                                device.writeZeroes(from, length, 0, end);
                            }
                        }))
                        .isNull();
            } else {
                byte[] bytes = new byte[length];
                random.nextBytes(bytes);
                System.arraycopy(bytes, 0, content, from, length);
                write(device, content, from, length);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(GrownFormat.class)
    void byTurnsWithQemuOnOneFile(GrownFormat format) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] content = new byte[SIZE];
            Path image = made(format);
            for (int round = 0; round < 3; round++) {
                BlockDevice device = open(format, image);
                assertThat(device.geometry().sizeBytes()).isEqualTo(SIZE);
                change(device, content, random);
                assertThat(OnLoop.await(loop, device::close)).isNull();
                Path raw = Files.write(directory.resolve("content.raw"), content);
                assertThat(Program.ok("qemu-img", "info", "--output=json", "-f", format.qemu, image))
                        .contains("\"virtual-size\": " + SIZE);
                Program.ok("qemu-img", "compare", "-f", "raw", "-F", format.qemu, raw, image);
                if (!format.qemu.equals("vpc")) {
                    Program.ok("qemu-img", "check", "-f", format.qemu, image);
                }
                int at = random.nextInt(SIZE / 512 - 4000) * 512;
                Arrays.fill(content, at, at + 4000 * 512, (byte) (round + 5));
                Program.ok(
                        "qemu-io", "-f", format.qemu, "-c", "write -P " + (round + 5) + " " + at + " 2048000", image);
                ForeignDisk disk = ForeignDisk.of(format.qemu, loop, image);
                assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
                assertThat(disk.zeroes(content)).isGreaterThanOrEqualTo(0);
                disk.close();
            }
        });
    }

    @ParameterizedTest
    @CsvSource({
        "VMDK_SPARSE, subformat=monolithicSparse",
        "VMDK_SPARSE, 'subformat=monolithicSparse,zeroed_grain=on'",
        "VHD_DYNAMIC, 'subformat=dynamic,force_size=on'",
        "VHD_FIXED, 'subformat=fixed,force_size=on'",
        "VHDX_DYNAMIC, subformat=dynamic",
        "VHDX_DYNAMIC, 'subformat=dynamic,block_size=1M,block_state_zero=off'",
        "VHDX_FIXED, subformat=fixed"
    })
    void whatQemuMadeIsChangedHere(GrownFormat format, String options) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] content = new byte[SIZE];
            Path image = directory.resolve("theirs");
            Program.ok("qemu-img", "create", "-f", format.qemu, "-o", options, image, SIZE);
            for (int round = 0; round < 2; round++) {
                BlockDevice device = open(format, image);
                change(device, content, random);
                assertThat(OnLoop.await(loop, device::close)).isNull();
                Path raw = Files.write(directory.resolve("content.raw"), content);
                Program.ok("qemu-img", "compare", "-f", "raw", "-F", format.qemu, raw, image);
            }
        });
    }

    /** Room is taken for many grains at once, and given back. */
    @ParameterizedTest
    @EnumSource(
            value = GrownFormat.class,
            names = {"VMDK_SPARSE", "VHD_DYNAMIC", "VHDX_DYNAMIC"})
    void afterItIsClosedAFileEndsBehindItsLastGrain(GrownFormat format) throws Exception {
        Path image = made(format);
        long empty = Files.size(image);
        BlockDevice device = open(format, image);
        write(device, new byte[SIZE], 1 << 20, 512);
        assertThat(Files.size(image)).isGreaterThan(empty + (1 << 20));
        assertThat(OnLoop.await(loop, device::close)).isNull();
        assertThat(Files.size(image)).isLessThan(empty + (9 << 20));
        assertThat(Files.size(image) % 512).isZero();
    }

    @Test
    void aVmdkDiskThatIsChangedHasAnotherContentIdAndOneThatIsReadHasNot() throws Exception {
        Path image = made(GrownFormat.VMDK_SPARSE);
        byte[] before = Files.readAllBytes(image);
        BlockDevice reader = open(GrownFormat.VMDK_SPARSE, image);
        IoBuffer buffer = IoBuffer.allocate(4096);
        assertThat(OnLoop.await(loop, end -> reader.read(0, buffer, 0, 4096, end)))
                .isNull();
        assertThat(OnLoop.await(loop, reader::close)).isNull();
        assertThat(Files.readAllBytes(image)).isEqualTo(before);
        BlockDevice writer = open(GrownFormat.VMDK_SPARSE, image);
        write(writer, new byte[SIZE], 0, 512);
        assertThat(Files.readAllBytes(image)[72]).isEqualTo((byte) 1);
        assertThat(OnLoop.await(loop, writer::close)).isNull();
        assertThat(Files.readAllBytes(image)[72]).isZero();
        // 0x5678cdef
        assertThat(Program.ok("qemu-img", "info", "-f", "vmdk", image)).contains("cid: 1450757615");
    }

    /** A table that says that data lies in the header, the tables, or another disk's part of the file. */
    @Test
    void whatWouldLetAGuestWriteToTablesIsRefused() throws Exception {
        Path vhd = made(GrownFormat.VHD_DYNAMIC);
        for (int sector : new int[] {0, 1, 3, 1 << 30}) {
            byte[] bytes = Files.readAllBytes(vhd);
            ByteBuffer.wrap(bytes).putInt(1536, sector);
            Path hostile = Files.write(directory.resolve("hostile.vhd"), bytes);
            assertThatThrownBy(() -> open(GrownFormat.VHD_DYNAMIC, hostile)).hasMessageContaining("block of it lies");
        }
        Path vmdk = made(GrownFormat.VMDK_SPARSE);
        byte[] sound = Files.readAllBytes(vmdk);
        ByteBuffer fields = ByteBuffer.wrap(sound.clone()).order(ByteOrder.LITTLE_ENDIAN);
        long directoryAt = fields.getLong(56) * 512;
        long tableAt = fields.getInt((int) directoryAt) * 512L;
        for (int sector : new int[] {1, 2, (int) (tableAt / 512), (int) (directoryAt / 512) - 100, -1}) {
            fields.putInt((int) tableAt, sector);
            Path hostile = Files.write(directory.resolve("hostile.vmdk"), fields.array());
            BlockDevice device = open(GrownFormat.VMDK_SPARSE, hostile);
            IoBuffer buffer = IoBuffer.allocate(4096);
            BlockError error = OnLoop.await(loop, end -> device.write(0, buffer, 0, 4096, 0, end));
            assertThat(error).as("sector " + sector).isNotNull();
            assertThat(OnLoop.await(loop, device::close)).isNull();
        }
        fields.put(0, sound, 0, sound.length);
        fields.putInt((int) directoryAt, (int) (fields.getLong(48)));
        Path hostile = Files.write(directory.resolve("hostile.vmdk"), fields.array());
        assertThatThrownBy(() -> open(GrownFormat.VMDK_SPARSE, hostile)).hasMessageContaining("over each other");
    }

    /** Whatever is damaged, opening and writing is a clear error, or works. */
    @ParameterizedTest
    @EnumSource(GrownFormat.class)
    void damageAnywhereIsAClearErrorAndNothingElse(GrownFormat format) {
        Seeds.run(seed -> {
            Path image = made(format);
            byte[] sound = Files.readAllBytes(image);
            SplittableRandom random = new SplittableRandom(seed);
            for (int round = 0; round < 40; round++) {
                byte[] damaged = sound.clone();
                for (int i = random.nextInt(4); i >= 0; i--) {
                    int at = random.nextInt(random.nextBoolean() ? 600 : damaged.length);
                    damaged[random.nextInt(5) == 0 ? damaged.length - 1 - at % 600 : at] =
                            (byte) (random.nextBoolean() ? -1 : random.nextInt());
                }
                try {
                    BlockDevice device = open(format, Files.write(directory.resolve("damaged"), damaged));
                    long size = device.geometry().sizeBytes();
                    IoBuffer buffer = IoBuffer.allocate(8192);
                    for (int i = 0; i < 4; i++) {
                        long from = random.nextLong(Math.min(size, SIZE) / 512) * 512;
                        int length = (int) Math.min(8192, size - from);
                        BlockError error = OnLoop.await(loop, end -> device.write(from, buffer, 0, length, 0, end));
                        assertThat(error == null || !error.detail().isBlank()).isTrue();
                    }
                    assertThat(OnLoop.await(loop, device::close)).isNull();
                } catch (BlockException clear) {
                    assertThat(clear.error().detail()).isNotBlank();
                }
            }
        });
    }
}
