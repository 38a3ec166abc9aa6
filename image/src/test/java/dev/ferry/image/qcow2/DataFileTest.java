package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.ChannelDisk;
import dev.ferry.image.FileBytes;
import dev.ferry.image.LoopBytes;
import dev.ferry.image.Program;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** qcow2 images whose data is in another file: sizes, what is refused, damage. */
class DataFileTest {
    private static final int SIZE = (2 << 20) + 512;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(6);

    private Path image() {
        return directory.resolve("image.qcow2");
    }

    private Path data() {
        return directory.resolve("data");
    }

    private interface Work {
        void on(FileBytes image, FileBytes data) throws BlockException;
    }

    private void with(Work work) throws Exception {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image()), "file");
        BlockDevice data = CheckedDevice.of(new ChannelDisk(data()), "data");
        try {
            work.on(new LoopBytes(loop, file), new LoopBytes(loop, data));
        } finally {
            assertThat(OnLoop.await(loop, file::close)).isNull();
            assertThat(OnLoop.await(loop, data::close)).isNull();
        }
    }

    private void made(String options, Object... more) {
        Object[] create = new Object[6 + more.length];
        System.arraycopy(
                new Object[] {"create", "-f", "qcow2", "-o", "data_file=" + data() + options, image()},
                0,
                create,
                0,
                6);
        System.arraycopy(more, 0, create, 6, more.length);
        Program.ok("qemu-img", create);
    }

    private void holds(byte[] content, boolean raw) throws Exception {
        assertThat(Program.ok("qemu-img", "check", "-f", "qcow2", image()))
                .contains("No errors were found")
                .doesNotContain("leaked");
        assertThat(OpenImage.check(image(), Qcow2Checker.Repair.NONE).findings())
                .isEmpty();
        Path model = Files.write(directory.resolve("model.raw"), content);
        Program.ok("qemu-img", "compare", "-f", "qcow2", "-F", "raw", image(), model);
        if (raw) {
            assertThat(Arrays.mismatch(Files.readAllBytes(data()), content)).isEqualTo(-1);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                ",data_file_raw=on",
                ",extended_l2=on,cluster_size=16k",
                ",data_file_raw=on,extended_l2=on,cluster_size=32k"
            })
    void itsDiskBecomesLongerAndShorterByTurnsWithQemu(String options) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            boolean raw = options.contains("raw");
            made(options, SIZE);
            byte[] content = new byte[SIZE];
            for (int step = 0; step < 6; step++) {
                int at = random.nextInt(content.length / 512) * 512;
                int length = Math.min(content.length - at, 512 * (1 + random.nextInt(600)));
                Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 9 " + at + " " + length, image());
                Arrays.fill(content, at, at + length, (byte) 9);
                boolean ours = step % 3 != 2;
                int unit = ours ? 512 : 64 << 10;
                int size = unit * (1 + random.nextInt(2 * SIZE / unit));
                if (ours) {
                    with((image, data) -> Qcow2Resizer.resize(image, data, null, size));
                } else {
                    Program.ok("qemu-img", "resize", "--shrink", "-f", "qcow2", image(), size);
                }
                content = Arrays.copyOf(content, size);
                holds(content, raw);
            }
            try (OpenImage open = OpenImage.open(image())) {
                open.load(seed, content, 60);
            }
            holds(content, raw);
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",extended_l2=on,cluster_size=16k"})
    void whatShowsThroughBehindTheOldEndStaysHidden(String options) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] below = new byte[2 * SIZE];
            random.nextBytes(below);
            Path base = Files.write(directory.resolve("base.raw"), below);
            int size = 512 * (1 + random.nextInt(SIZE / 512));
            made(options, "-b", base, "-F", "raw", size);
            MemoryDisk disk = MemoryDisk.growing(8 * SIZE);
            disk.fill(0, below);
            FileBytes backing = new LoopBytes(loop, CheckedDevice.of(disk, "backing"));
            int longer = size + 512 * (1 + random.nextInt(SIZE / 512));
            with((image, data) -> Qcow2Resizer.resize(image, data, backing, longer));
            holds(Arrays.copyOf(Arrays.copyOf(below, size), longer), false);
        });
    }

    @Test
    void internalSnapshotsAreRefused() throws Exception {
        made("", SIZE);
        with((image, data) -> {
            assertThatThrownBy(() -> Qcow2Snapshots.create(image, "a", 1, 0)).hasMessageContaining("data file");
            assertThatThrownBy(() -> Qcow2Snapshots.apply(image, "a")).hasMessageContaining("data file");
        });
    }

    @Test
    void aRawDataFileWithoutADataFileIsCorruption() throws Exception {
        made(",data_file_raw=on", SIZE);
        byte[] file = Files.readAllBytes(image());
        file[Qcow2Layout.INCOMPATIBLE + 7] = 0;
        Files.write(image(), file);
        with((image, data) ->
                assertThatThrownBy(() -> Qcow2Image.openReadOnly(image)).hasMessageContaining("data file is raw"));
    }

    @Test
    void aRawDataFileUnderABackingFileIsNotWritten() throws Exception {
        Path base = Files.write(directory.resolve("base.raw"), new byte[SIZE]);
        made("", "-b", base, "-F", "raw", SIZE);
        byte[] file = Files.readAllBytes(image());
        file[Qcow2Layout.AUTOCLEAR + 7] |= 2;
        Files.write(image(), file);
        with((image, data) -> {
            assertThat(Qcow2Image.openReadOnly(image).sizeBytes()).isEqualTo(SIZE);
            assertThatThrownBy(() -> Qcow2Image.openForWriting(image)).hasMessageContaining("read only");
        });
    }

    @Test
    void whatADataFileDoesNotHaveReadsAsZeroes() throws Exception {
        made("", SIZE);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 2M", image());
        byte[] content = new byte[SIZE];
        Arrays.fill(content, 0, 1_000_000, (byte) 9);
        Files.write(data(), Arrays.copyOf(content, 1_000_000));
        try (OpenImage open = OpenImage.readOnly(image())) {
            assertThat(Arrays.mismatch(open.content(), content)).isEqualTo(-1);
        }
    }

    /** QEMU wants it so too: a cluster elsewhere in the data file would be another's. */
    @ParameterizedTest
    @ValueSource(strings = {"", ",extended_l2=on"})
    void aClusterAtAnotherPlaceThanItsOwnIsNeitherReadNorWritten(String options) throws Exception {
        made(options, SIZE);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 1M", image());
        byte[] file = Files.readAllBytes(image());
        int l1 = (int) Qcow2Layout.u64(file, Qcow2Layout.L1_OFFSET);
        int l2 = (int) Qcow2Layout.hostOffset(Qcow2Layout.u64(file, l1));
        Qcow2Layout.u64(file, l2, 65536L | Qcow2Layout.COPIED);
        Files.write(image(), file);
        try (OpenImage open = OpenImage.open(image())) {
            IoBuffer buffer = IoBuffer.allocate(4096);
            refused(OnLoop.await(open.loop, end -> open.device.read(0, buffer, 0, 4096, end)));
            refused(OnLoop.await(open.loop, end -> open.device.write(0, buffer, 0, 4096, 0, end)));
            refused(OnLoop.await(open.loop, end -> open.device.writeZeroes(0, 4096, 0, end)));
        }
        assertThat(OpenImage.check(image(), Qcow2Checker.Repair.NONE).corruptions())
                .isEqualTo(1);
        assertThat(OpenImage.check(image(), Qcow2Checker.Repair.ALL).corruptions())
                .isEqualTo(1);
    }

    private static void refused(@Nullable BlockError error) {
        assertThat(error == null ? null : error.kind()).isEqualTo(ErrorKind.CORRUPT);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",extended_l2=on,cluster_size=16k"})
    void damageAnywhereIsAClearErrorAndNothingElse(String options) throws Exception {
        made(options, SIZE);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 1M", "-c", "write -z 64k 200k", image());
        byte[] sound = Files.readAllBytes(image());
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            for (int round = 0; round < 60; round++) {
                byte[] damaged =
                        random.nextInt(6) == 0 ? Arrays.copyOf(sound, random.nextInt(sound.length)) : sound.clone();
                for (int i = random.nextInt(6); i >= 0 && damaged.length > 0; i--) {
                    int area = Math.min(damaged.length, random.nextBoolean() ? 112 : 300_000);
                    damaged[random.nextInt(area)] = (byte) (random.nextBoolean() ? -1 : random.nextInt());
                }
                use(damaged);
            }
        });
    }

    private static BlockDevice memory(byte[] content) {
        MemoryDisk memory = MemoryDisk.growing(64 << 20);
        memory.fill(0, content);
        return CheckedDevice.of(memory, "file");
    }

    private void use(byte[] damaged) {
        BlockDevice file = memory(damaged);
        BlockDevice other = memory(new byte[SIZE]);
        try {
            LoopBytes bytes = new LoopBytes(loop, file);
            Qcow2Image image = Qcow2Image.openForWriting(bytes);
            BlockDevice store = image.dataFileName() == null ? file : other;
            BufferPool buffers = BufferPool.ofBytes(16 << 20);
            BlockDevice disk = CheckedDevice.of(
                    new Qcow2Device(loop, file, store, image, null, buffers, loop, Qcow2Settings.DEFAULT), "disk");
            IoBuffer buffer = IoBuffer.allocate(1 << 20);
            for (long at = 0; at < Math.min(disk.geometry().sizeBytes(), SIZE); at += 1 << 20) {
                long from = at;
                int length = (int) Math.min(1 << 20, disk.geometry().sizeBytes() - at);
                ended(OnLoop.await(loop, end -> disk.read(from, buffer, 0, length, end)));
                ended(OnLoop.await(loop, end -> disk.extents(from, length, (offset, count, state) -> {}, end)));
                ended(OnLoop.await(loop, end -> disk.write(from, buffer, 0, Math.min(length, 5000), 0, end)));
                ended(OnLoop.await(loop, end -> disk.discard(from, Math.min(length, 70_000), 0, end)));
            }
            ended(OnLoop.await(loop, disk::close));
        } catch (BlockException clear) {
            assertThat(clear.error().detail()).isNotBlank();
        }
    }

    private static void ended(@Nullable BlockError error) {
        assertThat(error == null || !error.detail().isBlank()).isTrue();
    }
}
