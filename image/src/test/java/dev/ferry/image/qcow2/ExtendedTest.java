package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.ChannelDisk;
import dev.ferry.image.LoopBytes;
import dev.ferry.image.Program;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Images with subclusters and with data files, as QEMU writes them: read here byte by byte, and not written. */
class ExtendedTest {
    private static final int SIZE = (4 << 20) + 512;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(6);

    private BlockDevice file(Path path) throws Exception {
        return CheckedDevice.of(new ChannelDisk(path), "file");
    }

    private byte[] content(Path path, @Nullable Path data, byte @Nullable [] backing) throws Exception {
        BlockDevice file = file(path);
        BlockDevice below = null;
        if (backing != null) {
            MemoryDisk disk = MemoryDisk.growing(2 * SIZE);
            disk.fill(0, backing);
            below = CheckedDevice.of(disk, "backing");
        }
        Qcow2Extended image = Qcow2Extended.open(new LoopBytes(loop, file));
        assertThat(image.dataFileName() == null).isEqualTo(data == null);
        BlockDevice disk = CheckedDevice.of(image.device(file, data == null ? file : file(data), below), "disk");
        int size = Math.toIntExact(disk.geometry().sizeBytes());
        IoBuffer whole = IoBuffer.allocate(size);
        for (int at = 0; at < size; at += 300_123) {
            int from = at;
            int length = Math.min(300_123, size - at);
            assertThat(OnLoop.await(loop, end -> disk.read(from, whole, from, length, end)))
                    .isNull();
        }
        assertThat(OnLoop.await(loop, disk::close)).isNull();
        byte[] bytes = new byte[size];
        whole.copyTo(0, bytes, 0, size);
        return bytes;
    }

    private static void scribble(Path image, SplittableRandom random) {
        List<Object> commands = new ArrayList<>(List.of("-f", "qcow2"));
        for (int i = 0; i < 25; i++) {
            int at = random.nextInt(SIZE / 512) * 512;
            int length = Math.min(SIZE - at, 512 * (1 + random.nextInt(100)));
            commands.add("-c");
            commands.add(
                    switch (random.nextInt(4)) {
                        case 0 -> "write -z " + at + " " + length;
                        case 1 -> "discard " + at + " " + length;
                        default -> "write -P " + (1 + random.nextInt(250)) + " " + at + " " + length;
                    });
        }
        commands.add(image);
        Program.ok("qemu-io", commands.toArray());
    }

    @ParameterizedTest
    @CsvSource({
        "'extended_l2=on,cluster_size=64k', false",
        "'extended_l2=on,cluster_size=16k', false",
        "'extended_l2=on,cluster_size=2M', false",
        "'extended_l2=on,cluster_size=128k', true",
        "'data_file=DATA', false",
        "'data_file=DATA,data_file_raw=on', false",
        "'data_file=DATA,extended_l2=on', true"
    })
    void whatQemuWroteIsReadHere(String options, boolean overlay) {
        Seeds.run(2, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] below = new byte[SIZE];
            random.nextBytes(below);
            Path base = Files.write(directory.resolve("base.raw"), below);
            Path data = options.contains("DATA") ? directory.resolve("data") : null;
            Path image = directory.resolve("image.qcow2");
            if (data != null) {
                Files.deleteIfExists(data);
            }
            List<Object> create = new ArrayList<>(List.of(
                    "create",
                    "-f",
                    "qcow2",
                    "-o",
                    options.replace("DATA", directory.resolve("data").toString())));
            if (overlay) {
                create.addAll(List.of("-b", base, "-F", "raw"));
            }
            create.addAll(List.of(image, SIZE));
            Program.ok("qemu-img", create.toArray());
            scribble(image, random);
            Path theirs = directory.resolve("theirs.raw");
            Program.ok("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, theirs);
            byte[] ours = content(image, data, overlay ? below : null);
            assertThat(Arrays.mismatch(ours, Files.readAllBytes(theirs))).isEqualTo(-1);
        });
    }

    @Test
    void theyAreNeitherWrittenNorCheckedNorChanged() throws Exception {
        Path image = directory.resolve("no.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", "-o", "extended_l2=on", image, SIZE);
        BlockDevice file = file(image);
        LoopBytes bytes = new LoopBytes(loop, file);
        assertThat(Qcow2Extended.isOne(bytes)).isTrue();
        assertThatThrownBy(() -> Qcow2Image.openForWriting(bytes)).hasMessageContaining("extended L2 entries");
        assertThatThrownBy(() -> Qcow2Checker.check(bytes, Qcow2Checker.Repair.ALL))
                .hasMessageContaining("extended L2 entries");
        assertThatThrownBy(() -> Qcow2Snapshots.create(bytes, "a", 1, 0)).hasMessageContaining("extended L2 entries");
        assertThat(OnLoop.await(loop, file::close)).isNull();
    }

    @Test
    void compressedClustersAreRefusedByName() throws Exception {
        Path raw = Files.write(directory.resolve("raw"), new byte[] {1, 2, 3});
        Path image = directory.resolve("packed.qcow2");
        Program.ok("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "extended_l2=on", raw, image);
        BlockDevice file = file(image);
        BlockDevice disk =
                CheckedDevice.of(Qcow2Extended.open(new LoopBytes(loop, file)).device(file, file, null), "disk");
        IoBuffer buffer = IoBuffer.allocate(512);
        BlockError refused = OnLoop.await(loop, end -> disk.read(0, buffer, 0, 512, end));
        assertThat(refused == null ? null : refused.kind()).isEqualTo(ErrorKind.UNSUPPORTED);
        assertThat(OnLoop.await(loop, disk::close)).isNull();
    }

    @Test
    void damageAnywhereIsAClearErrorAndNothingElse() throws Exception {
        Path image = directory.resolve("hurt.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=16k", image, SIZE);
        scribble(image, new SplittableRandom(9));
        byte[] sound = Files.readAllBytes(image);
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            for (int round = 0; round < 100; round++) {
                byte[] damaged =
                        random.nextInt(6) == 0 ? Arrays.copyOf(sound, random.nextInt(sound.length)) : sound.clone();
                for (int i = random.nextInt(6); i >= 0 && damaged.length > 0; i--) {
                    int area = Math.min(damaged.length, random.nextBoolean() ? 112 : 100_000);
                    damaged[random.nextInt(area)] = (byte) (random.nextBoolean() ? -1 : random.nextInt());
                }
                use(damaged);
            }
        });
    }

    private void use(byte[] damaged) {
        MemoryDisk memory = MemoryDisk.growing(16 << 20);
        memory.fill(0, damaged);
        BlockDevice file = CheckedDevice.of(memory, "file");
        try {
            Qcow2Extended image = Qcow2Extended.open(new LoopBytes(loop, file));
            BlockDevice disk = CheckedDevice.of(image.device(file, file, null), "disk");
            IoBuffer buffer = IoBuffer.allocate(1 << 20);
            for (long at = 0; at < Math.min(disk.geometry().sizeBytes(), SIZE); at += 1 << 20) {
                long from = at;
                int length = (int) Math.min(1 << 20, disk.geometry().sizeBytes() - at);
                BlockError error = OnLoop.await(loop, end -> disk.read(from, buffer, 0, length, end));
                assertThat(error == null || !error.detail().isBlank()).isTrue();
                BlockError unknown =
                        OnLoop.await(loop, end -> disk.extents(from, length, (offset, bytes, state) -> {}, end));
                assertThat(unknown == null || !unknown.detail().isBlank()).isTrue();
            }
        } catch (BlockException clear) {
            assertThat(clear.error().detail()).isNotBlank();
        }
    }
}
