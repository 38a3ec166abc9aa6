package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.qcow2.StoppingFile;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vhd.VhdResizer;
import dev.ferry.image.vhdx.VhdxResizer;
import dev.ferry.image.vmdk.VmdkResizer;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Disks in VMDK, VHD and VHDX that become longer and shorter: by turns with QEMU, and with a crash between any two writes. */
class ResizeTest {
    private static final int ROOM = 96 << 20;
    /** Of a file that crashes, which is small. */
    private static final int CRASH_ROOM = 24 << 20;

    private static final int FOOTER = 512;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(3);

    private static void resize(GrownFormat format, FileBytes file, long sizeBytes) throws BlockException {
        switch (format) {
            case VMDK_SPARSE -> VmdkResizer.resize(file, sizeBytes, 0x3456cdef);
            case VHD_DYNAMIC, VHD_FIXED -> VhdResizer.resize(file, sizeBytes);
            case VHDX_DYNAMIC, VHDX_FIXED -> VhdxResizer.resize(file, sizeBytes, new UUID(31, 3));
        }
    }

    private void fill(BlockDevice device, byte[] content, SplittableRandom random) {
        for (int i = 0; i < 6; i++) {
            // At the end too.
            int length = (1 + random.nextInt(600)) * 512;
            int from = i == 0 ? content.length - length : random.nextInt((content.length - length) / 512) * 512;
            byte[] bytes = new byte[length];
            random.nextBytes(bytes);
            System.arraycopy(bytes, 0, content, from, length);
            IoBuffer buffer = IoBuffer.allocate(length);
            buffer.copyFrom(bytes, 0, 0, length);
            assertThat(OnLoop.await(loop, end -> device.write(from, buffer, 0, length, 0, end)))
                    .isNull();
        }
    }

    private void withFile(Path image, GrownFormat format, int sizeBytes) throws IOException, BlockException {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        resize(format, new LoopBytes(loop, file), sizeBytes);
        assertThat(OnLoop.await(loop, file::close)).isNull();
    }

    @ParameterizedTest
    @CsvSource({
        "VMDK_SPARSE, subformat=monolithicSparse",
        "VHD_DYNAMIC, 'subformat=dynamic,force_size=on'",
        "VHD_DYNAMIC, subformat=dynamic",
        "VHD_FIXED, 'subformat=fixed,force_size=on'",
        "VHDX_DYNAMIC, subformat=dynamic",
        "VHDX_DYNAMIC, 'subformat=dynamic,block_size=1M'",
        "VHDX_FIXED, subformat=fixed",
        "VMDK_SPARSE, ours",
        "VHD_DYNAMIC, ours",
        "VHD_FIXED, ours",
        "VHDX_DYNAMIC, ours",
        "VHDX_FIXED, ours"
    })
    void byTurnsWithQemu(GrownFormat format, String options) {
        Seeds.run(1, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            Path image = directory.resolve("disk");
            Files.deleteIfExists(image);
            int begins = 8 * 16 * 63 * 512;
            if (options.equals("ours")) {
                BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
                format.create(new LoopBytes(loop, file), begins);
                assertThat(OnLoop.await(loop, file::close)).isNull();
            } else {
                Program.ok("qemu-img", "create", "-f", format.qemu, "-o", options, image, begins);
            }
            // QEMU rounds it to cylinders where it is not told otherwise.
            ForeignDisk first = ForeignDisk.of(format.qemu, loop, image);
            byte[] content = new byte[(int) first.device.geometry().sizeBytes()];
            first.close();
            int[] sizes = {content.length + 512, 35 << 20, (1 << 20) + 512, 3 << 20, 20 << 20};
            for (int size : sizes) {
                BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
                BlockDevice device =
                        CheckedDevice.of(format.open(loop, new OpenFile(new LoopBytes(loop, file), file)), "disk");
                assertThat(device.geometry().sizeBytes()).isEqualTo(content.length);
                fill(device, content, random);
                assertThat(OnLoop.await(loop, device::close)).isNull();
                withFile(image, format, size);
                content = Arrays.copyOf(content, size);
                Path raw = Files.write(directory.resolve("raw"), content);
                assertThat(Program.ok("qemu-img", "info", "--output=json", "-f", format.qemu, image))
                        .contains("\"virtual-size\": " + size);
                Program.ok("qemu-img", "compare", "-f", "raw", "-F", format.qemu, raw, image);
                if (!format.qemu.equals("vpc")) {
                    Program.ok("qemu-img", "check", "-f", format.qemu, image);
                }
                ForeignDisk disk = ForeignDisk.of(format.qemu, loop, image);
                assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
                disk.close();
                int at = random.nextInt(size / 512 - 300) * 512;
                Arrays.fill(content, at, at + 300 * 512, (byte) 9);
                Program.ok("qemu-io", "-f", format.qemu, "-c", "write -P 9 " + at + " 153600", image);
            }
        });
    }

    private byte[] contentOf(GrownFormat format, byte[] left) throws BlockException {
        BlockDevice file = CheckedDevice.of(CrashDisk.restored(left, ROOM), "left");
        BlockDevice device = format.reading(loop, new OpenFile(new LoopBytes(loop, file), file));
        int size = Math.toIntExact(device.geometry().sizeBytes());
        IoBuffer whole = IoBuffer.allocate(size);
        assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, size, end)))
                .isNull();
        byte[] content = new byte[size];
        whole.copyTo(0, content, 0, size);
        return content;
    }

    private byte[] resized(GrownFormat format, byte[] left, int size) throws BlockException {
        MemoryDisk disk = CrashDisk.restored(left, ROOM);
        resize(format, new LoopBytes(loop, CheckedDevice.of(disk, "again")), size);
        return disk.bytes(0, (int) disk.lengthBytes());
    }

    private void crashes(GrownFormat format, int from, int to) throws Exception {
        SplittableRandom random = new SplittableRandom(from);
        MemoryDisk made = MemoryDisk.growing(ROOM);
        format.create(new LoopBytes(loop, made), from);
        byte[] content = new byte[from];
        BlockDevice file = CheckedDevice.of(made, "made");
        BlockDevice device = CheckedDevice.of(format.open(loop, new OpenFile(new LoopBytes(loop, file), file)), "disk");
        fill(device, content, random);
        assertThat(OnLoop.await(loop, device::close)).isNull();
        byte[] image = made.bytes(0, (int) made.lengthBytes());
        int both = Math.min(from, to);
        boolean done = false;
        for (int steps = 0; !done; steps++) {
            CrashDisk disk = new CrashDisk(loop, steps, CRASH_ROOM, true);
            disk.fill(image);
            BlockDevice crashing = CheckedDevice.of(disk, "crashing");
            try {
                resize(format, new StoppingFile(new LoopBytes(loop, crashing), steps), to);
                done = true;
            } catch (BlockException stopped) {
                assertThat(stopped).hasMessageContaining("stopped");
            }
            for (int draw = 0; draw < (steps % 2 == 0 ? 1 : 2); draw++) {
                byte[] left = disk.afterCrash(random, false);
                byte[] found = contentOf(format, left);
                assertThat(found.length).isIn(from, to);
                assertThat(done).isIn(false, found.length == to);
                byte[] expected = Arrays.copyOf(content, found.length);
                if (format == GrownFormat.VHD_FIXED && found.length > both) {
                    // The footer that was there, or is to be there, is beside the end of one of them.
                    System.arraycopy(found, both, expected, both, Math.min(FOOTER, found.length - both));
                }
                assertThat(Arrays.mismatch(found, expected))
                        .as("after " + steps + " steps, of " + found.length)
                        .isEqualTo(-1);
                // What was lost does not come back, and a size that did not come about can be had.
                int next = Math.max(from, to) + 4096;
                byte[] after = contentOf(format, resized(format, left, next));
                assertThat(Arrays.mismatch(after, Arrays.copyOf(expected, next)))
                        .as("longer after " + steps + " steps")
                        .isEqualTo(-1);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(GrownFormat.class)
    void aCrashLeavesOneSizeOrTheOther(GrownFormat format) throws Exception {
        int size = (5 << 20) + 1536;
        crashes(format, size, (format == GrownFormat.VMDK_SPARSE ? 34 : 9) << 20);
        crashes(format, size, (3 << 20) - 512);
    }

    @Test
    void whatCannotBeResizedIsRefused() throws Exception {
        for (DeltaFormat format : DeltaFormat.values()) {
            MemoryDisk parent = format.parent(loop, new byte[1 << 20]);
            MemoryDisk delta = MemoryDisk.growing(ROOM);
            LoopBytes file = new LoopBytes(loop, delta);
            format.create(file, new LoopBytes(loop, parent), "parent", 1 << 20);
            assertThatThrownBy(() -> resize(format.base, file, 2 << 20)).hasMessageContaining("size of its parent");
        }
        for (GrownFormat format : GrownFormat.values()) {
            MemoryDisk disk = MemoryDisk.growing(ROOM);
            LoopBytes file = new LoopBytes(loop, disk);
            format.create(file, 1 << 20);
            for (long size : new long[] {0, -512, 1000, 1L << 62}) {
                assertThatThrownBy(() -> resize(format, file, size)).hasMessageContaining("multiple of 512");
            }
        }
    }
}
