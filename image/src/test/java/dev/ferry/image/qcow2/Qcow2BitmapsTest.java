package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.image.ChannelDisk;
import dev.ferry.image.CrashDisk;
import dev.ferry.image.FileBytes;
import dev.ferry.image.LoopBytes;
import dev.ferry.image.Program;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Bitmaps of images: what QEMU has marked is read, what is put back is all of it, and a crash leaves nothing that is wrong. */
class Qcow2BitmapsTest {
    private static final int SIZE = 4 << 20;
    private static final int GRANULARITY = 512;

    @TempDir
    private Path directory = Path.of("");

    private final SimLoop loop = new SimLoop(2);

    private interface Work<T> {
        @Nullable
        T on(FileBytes bytes) throws BlockException;
    }

    private <T> @Nullable T with(Path path, Work<T> work) throws Exception {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(path), "file");
        try {
            return work.on(new LoopBytes(loop, file));
        } finally {
            assertThat(OnLoop.await(loop, file::close)).isNull();
        }
    }

    private Qcow2Bitmaps.Content read(Path image, String name) throws Exception {
        return Objects.requireNonNull(with(image, bytes -> Qcow2Bitmaps.read(bytes, name)));
    }

    private void write(Path image, Qcow2Bitmaps.Content... contents) throws Exception {
        with(image, bytes -> {
            Qcow2Bitmaps.write(bytes, List.of(contents));
            return null;
        });
    }

    private Path image(String options) {
        Path image = directory.resolve("image.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", "-o", options, image, SIZE);
        Program.ok("qemu-img", "bitmap", "--add", "-g", GRANULARITY, image, "followed");
        Program.ok("qemu-img", "bitmap", "--add", "-g", "64k", image, "other");
        return image;
    }

    private static byte[] withBits(Qcow2Bitmaps.Content content, SplittableRandom random) {
        byte[] bits = content.bits().clone();
        int from = random.nextInt(bits.length);
        random.nextBytes(bits);
        // Some of it clean throughout.
        Arrays.fill(bits, from, bits.length, (byte) 0);
        return bits;
    }

    private static Qcow2Bitmaps.Content with(Qcow2Bitmaps.Content content, byte[] bits) {
        return new Qcow2Bitmaps.Content(
                content.name(), content.granularityBytes(), content.sizeBytes(), true, false, bits);
    }

    @ParameterizedTest
    @ValueSource(strings = {"cluster_size=64k", "cluster_size=512", "cluster_size=4k,refcount_bits=64"})
    void whatQemuMarkedIsReadAndWhatIsPutBackIsSound(String options) throws Exception {
        Path image = image(options);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write 1M 1k", "-c", "write 3M 64k", "-c", "write 0 512", image);
        Qcow2Bitmaps.Content content = read(image, "followed");
        assertThat(content.follows()).isTrue();
        assertThat(content.inUse()).isFalse();
        BitSet expected = new BitSet();
        expected.set(0);
        expected.set((1 << 20) / GRANULARITY, (1 << 20) / GRANULARITY + 2);
        expected.set((3 << 20) / GRANULARITY, ((3 << 20) + (64 << 10)) / GRANULARITY);
        assertThat(BitSet.valueOf(content.bits())).isEqualTo(expected);
        byte[] other = read(image, "other").bits();
        assertThat(BitSet.valueOf(other).cardinality()).isEqualTo(3);

        with(image, bytes -> Qcow2Image.openForWriting(bytes));
        assertThat(read(image, "followed").inUse()).isTrue();
        Seeds.run(5, seed -> {
            byte[] bits = withBits(content, new SplittableRandom(seed));
            write(image, with(content, bits));
            Qcow2Bitmaps.Content now = read(image, "followed");
            assertThat(now.bits()).isEqualTo(bits);
            assertThat(now.inUse()).isFalse();
            assertThat(Program.ok("qemu-img", "check", "-f", "qcow2", image)).contains("No errors were found");
            assertThat(OpenImage.check(image, Qcow2Checker.Repair.NONE).clean()).isTrue();
        });
        assertThat(read(image, "other").inUse()).as("nobody has followed it").isTrue();
        assertThat(Program.ok("qemu-img", "info", image)).contains("followed").contains("in-use");
    }

    @Test
    void aCrashBetweenAnyTwoWritesLeavesTheBitmapsRightOrInUseOrGone() throws Exception {
        Path image = image("cluster_size=4k");
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 3 1M 9k", "-c", "write -P 4 2M 64k", image);
        Qcow2Bitmaps.Content content = read(image, "followed");
        with(image, bytes -> Qcow2Image.openForWriting(bytes));
        byte[] before = Files.readAllBytes(image);
        Seeds.run(3, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] bits = withBits(content, random);
            boolean done = false;
            for (int stop = 0; !done; stop++) {
                done = crashAt(stop, before, with(content, bits), random);
                assertThat(stop).isLessThan(1000);
            }
        });
    }

    /** @return true if it ran to its end */
    private boolean crashAt(int stop, byte[] before, Qcow2Bitmaps.Content content, SplittableRandom random)
            throws Exception {
        CrashDisk disk = new CrashDisk(loop, random.nextLong(), 16 << 20, true);
        disk.fill(before);
        boolean done = true;
        try {
            FileBytes file = new LoopBytes(loop, CheckedDevice.of(disk, "file"));
            Qcow2Bitmaps.write(new StoppingFile(file, stop), List.of(content));
        } catch (BlockException stopped) {
            done = false;
        }
        for (boolean processOnly : new boolean[] {true, false}) {
            byte[] left = disk.afterCrash(random.split(), processOnly);
            Path image = Files.write(directory.resolve("left.qcow2"), left);
            assertThat(OpenImage.check(image, Qcow2Checker.Repair.NONE).corruptions())
                    .isZero();
            Qcow2Bitmaps.Content now = with(image, bytes -> Qcow2Bitmaps.read(bytes, content.name()));
            if (now != null && !now.inUse()) {
                assertThat(now.bits()).isEqualTo(content.bits());
            }
            assertThat(!done || (now != null && !now.inUse())).isTrue();
            try (OpenImage open = OpenImage.open(image)) {
                byte[] bytes = open.content();
                assertThat(bytes[1 << 20]).isEqualTo((byte) 3);
                assertThat(bytes[2 << 20]).isEqualTo((byte) 4);
            }
        }
        return done;
    }

    @ParameterizedTest
    @ValueSource(strings = {"cluster_size=64k", "cluster_size=512", "extended_l2=on,cluster_size=16k"})
    void theyFollowADiskThatBecomesLongerAndShorterAsThoseOfQemuDo(String options) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            Path ours = image(options);
            Path theirs = directory.resolve("theirs.qcow2");
            for (int step = 0; step < 15; step++) {
                int size = Math.toIntExact(read(ours, "other").sizeBytes());
                int at = random.nextInt(size / 512) * 512;
                int length = Math.min(size - at, 512 * (1 + random.nextInt(900)));
                Program.ok("qemu-io", "-f", "qcow2", "-c", "write " + at + " " + length, ours);
                Files.copy(ours, theirs, StandardCopyOption.REPLACE_EXISTING);
                int to = 512 * (1 + random.nextInt(2 * SIZE / 512));
                with(ours, bytes -> {
                    Qcow2Resizer.resize(bytes, null, to);
                    return null;
                });
                Program.ok("qemu-img", "resize", "--shrink", "-f", "qcow2", theirs, to);
                for (String name : List.of("followed", "other")) {
                    Qcow2Bitmaps.Content content = read(ours, name);
                    assertThat(content.inUse()).isFalse();
                    assertThat(content.follows()).isTrue();
                    assertThat(content.bits()).isEqualTo(read(theirs, name).bits());
                }
                assertThat(Program.ok("qemu-img", "check", "-f", "qcow2", ours))
                        .contains("No errors were found")
                        .doesNotContain("leaked");
                assertThat(OpenImage.check(ours, Qcow2Checker.Repair.NONE).clean())
                        .isTrue();
            }
        });
    }

    @Test
    void aDiskIsNotResizedUnderABitmapThatIsInUse() throws Exception {
        Path image = image("cluster_size=64k");
        with(image, bytes -> Qcow2Image.openForWriting(bytes));
        byte[] before = Files.readAllBytes(image);
        assertThatThrownBy(() -> with(image, bytes -> {
                    Qcow2Resizer.resize(bytes, null, 2 * SIZE);
                    return null;
                }))
                .hasMessageContaining("in use");
        assertThat(Files.readAllBytes(image)).isEqualTo(before);
    }

    @ParameterizedTest
    @ValueSource(ints = {SIZE + 70 * 512, SIZE / 2 + 512})
    void aCrashInAResizeLeavesTheBitmapsOfTheSizeThatThereIsOrNone(int to) throws Exception {
        Path image = image("cluster_size=4k");
        Program.ok("qemu-io", "-f", "qcow2", "-c", "write -P 3 1M 9k", "-c", "write -P 4 2M 64k", image);
        byte[] before = Files.readAllBytes(image);
        byte[] old = read(image, "followed").bits();
        with(image, bytes -> {
            Qcow2Resizer.resize(bytes, null, to);
            return null;
        });
        byte[] fresh = read(image, "followed").bits();
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            boolean done = false;
            for (int stop = 0; !done; stop++) {
                CrashDisk disk = new CrashDisk(loop, random.nextLong(), 16 << 20, true);
                disk.fill(before);
                try {
                    FileBytes file = new LoopBytes(loop, CheckedDevice.of(disk, "file"));
                    Qcow2Resizer.resize(new StoppingFile(file, stop), null, to);
                    done = true;
                } catch (BlockException stopped) {
                    assertThat(stop).isLessThan(1000);
                }
                Path left = directory.resolve("left.qcow2");
                Files.write(left, disk.afterCrash(random.split(), random.nextBoolean()));
                assertThat(OpenImage.check(left, Qcow2Checker.Repair.NONE).corruptions())
                        .isZero();
                Qcow2Bitmaps.Content now = with(left, bytes -> Qcow2Bitmaps.read(bytes, "followed"));
                if (now != null) {
                    assertThat(now.bits()).isEqualTo(now.sizeBytes() == to ? fresh : old);
                }
                assertThat(!done || now != null).isTrue();
            }
        });
    }
}
