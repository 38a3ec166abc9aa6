package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.ChannelDisk;
import dev.ferry.image.CrashDisk;
import dev.ferry.image.FileBytes;
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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Snapshots and sizes of images at rest, by turns with QEMU on one file; both always see what the model says. */
class ChangeoverTest {
    private static final int SIZE = 3 << 20;
    private static final int STEPS = 10;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(2);

    private interface Work {
        void on(FileBytes bytes) throws BlockException;
    }

    private void with(Path path, Work work) throws Exception {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(path), "file");
        try {
            work.on(new LoopBytes(loop, file));
        } finally {
            assertThat(OnLoop.await(loop, file::close)).isNull();
        }
    }

    private void holds(Path image, byte[] content) throws Exception {
        String said = Program.ok("qemu-img", "check", "-f", "qcow2", image);
        assertThat(said).contains("No errors were found").doesNotContain("leaked");
        assertThat(OpenImage.check(image, Qcow2Checker.Repair.NONE).clean()).isTrue();
        Path raw = directory.resolve("theirs.raw");
        Program.ok("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw);
        assertThat(Arrays.mismatch(Files.readAllBytes(raw), content)).isEqualTo(-1);
    }

    private static void scribble(Path image, byte[] content, SplittableRandom random) {
        List<Object> commands = new ArrayList<>(List.of("-f", "qcow2"));
        for (int i = 0; i < 4; i++) {
            int pattern = random.nextInt(4) == 0 ? 0 : 1 + random.nextInt(250);
            int at = random.nextInt(content.length / 512) * 512;
            int length = Math.min(content.length - at, 512 * (1 + random.nextInt(400)));
            commands.add("-c");
            commands.add(
                    pattern == 0
                            ? "write -z -u " + at + " " + length
                            : "write -P " + pattern + " " + at + " " + length);
            Arrays.fill(content, at, at + length, (byte) pattern);
        }
        commands.add(image);
        Program.ok("qemu-io", commands.toArray());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "cluster_size=64k",
                "cluster_size=512",
                "cluster_size=4k,refcount_bits=8",
                "cluster_size=4k,refcount_bits=2",
                "cluster_size=64k,refcount_bits=64,lazy_refcounts=on",
                "cluster_size=2M,preallocation=metadata",
                "extended_l2=on,cluster_size=16k",
                "compat=0.10,cluster_size=4k"
            })
    void snapshotsByTurnsWithQemu(String options) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            Path image = directory.resolve("turns.qcow2");
            Program.ok("qemu-img", "create", "-f", "qcow2", "-o", options, image, SIZE);
            byte[] content = new byte[SIZE];
            Map<String, byte[]> snapshots = new LinkedHashMap<>();
            // QEMU counts a snapshot that it applies once more before it counts down what the disk was: two bits hold
            // one then.
            int most = options.contains("refcount_bits=2") ? 1 : 5;
            int steps = options.contains("2M") ? STEPS / 3 : STEPS;
            for (int step = 0; step < steps; step++) {
                scribble(image, content, random);
                boolean ours = random.nextInt(3) > 0;
                List<String> names = List.copyOf(snapshots.keySet());
                int what = names.isEmpty() ? 0 : random.nextInt(3);
                String name = what == 0 ? "s" + step : names.get(random.nextInt(names.size()));
                if (what == 0 && names.size() < most) {
                    change(image, ours, "-c", name, bytes -> Qcow2Snapshots.create(bytes, name, 1_700_000_000, 5));
                    snapshots.put(name, content.clone());
                } else if (what == 1) {
                    change(image, ours, "-a", name, bytes -> Qcow2Snapshots.apply(bytes, name));
                    content = Objects.requireNonNull(snapshots.get(name)).clone();
                } else if (what == 2) {
                    change(image, ours, "-d", name, bytes -> Qcow2Snapshots.delete(bytes, name));
                    snapshots.remove(name);
                }
                holds(image, content);
            }
            String listed = Program.ok("qemu-img", "snapshot", "-l", image);
            for (Map.Entry<String, byte[]> one : snapshots.entrySet()) {
                assertThat(listed).contains(one.getKey());
                try (OpenImage then = OpenImage.snapshot(image, one.getKey())) {
                    assertThat(Arrays.mismatch(then.content(), one.getValue())).isEqualTo(-1);
                }
            }
            try (OpenImage now = OpenImage.open(image)) {
                now.load(seed, content, 60);
            }
            holds(image, content);
        });
    }

    private void change(Path image, boolean ours, String option, String name, Work work) throws Exception {
        if (ours) {
            with(image, work);
        } else {
            Program.ok("qemu-img", "snapshot", option, name, image);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "cluster_size=64k",
                "cluster_size=512",
                "cluster_size=4k,refcount_bits=1",
                "extended_l2=on,cluster_size=16k",
                "extended_l2=on,cluster_size=64k",
                "compat=0.10"
            })
    void sizesByTurnsWithQemu(String options) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            Path image = directory.resolve("sizes.qcow2");
            Program.ok("qemu-img", "create", "-f", "qcow2", "-o", options, image, SIZE);
            byte[] content = new byte[SIZE];
            for (int step = 0; step < STEPS; step++) {
                scribble(image, content, random);
                boolean ours = random.nextInt(3) > 0;
                // QEMU leaves what was behind the end in the last cluster, and shows it when it makes the disk longer
                // again.
                int unit = ours ? 512 : 64 << 10;
                int size = unit * (1 + random.nextInt(2 * SIZE / unit));
                if (ours) {
                    with(image, bytes -> Qcow2Resizer.resize(bytes, null, size));
                } else {
                    Program.ok("qemu-img", "resize", "--shrink", "-f", "qcow2", image, size);
                }
                content = Arrays.copyOf(content, size);
                holds(image, content);
            }
            try (OpenImage now = OpenImage.open(image)) {
                now.load(seed, content, 60);
            }
            holds(image, content);
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"off", "on"})
    void whatABackingFileHasBehindTheOldEndStaysHidden(String extended) {
        Seeds.run(3, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] below = new byte[2 * SIZE];
            random.nextBytes(below);
            Path base = Files.write(directory.resolve("base.raw"), below);
            Path image = directory.resolve("over.qcow2");
            Files.deleteIfExists(image);
            int size = 512 * (1 + random.nextInt(SIZE / 512));
            String options = "extended_l2=" + extended;
            Program.ok("qemu-img", "create", "-f", "qcow2", "-o", options, "-b", base, "-F", "raw", image, size);
            MemoryDisk disk = MemoryDisk.growing(8 * SIZE);
            disk.fill(0, below);
            FileBytes backing = new LoopBytes(loop, CheckedDevice.of(disk, "backing"));
            int longer = size + 512 * (1 + random.nextInt(2 * SIZE / 512));
            with(image, bytes -> Qcow2Resizer.resize(bytes, backing, longer));
            holds(image, Arrays.copyOf(Arrays.copyOf(below, size), longer));
        });
    }

    @Test
    void compressedClustersAndTheirSnapshotsKeepWhatTheyHold() throws Exception {
        byte[] content = new byte[SIZE];
        for (int i = 0; i < SIZE; i++) {
            content[i] = (byte) (i / 700);
        }
        for (String compression : List.of("zlib", "zstd")) {
            Path raw = Files.write(directory.resolve("c.raw"), content);
            Path image = directory.resolve(compression + ".qcow2");
            String option = "compression_type=" + compression;
            Program.ok("qemu-img", "convert", "-c", "-O", "qcow2", "-o", option, "-f", "raw", raw, image);
            with(image, bytes -> Qcow2Snapshots.create(bytes, "before", 1, 0));
            holds(image, content);
            with(image, bytes -> Qcow2Resizer.resize(bytes, null, SIZE - 100 * 512));
            with(image, bytes -> Qcow2Resizer.resize(bytes, null, SIZE));
            byte[] cut = Arrays.copyOf(Arrays.copyOf(content, SIZE - 100 * 512), SIZE);
            holds(image, cut);
            with(image, bytes -> Qcow2Snapshots.apply(bytes, "before"));
            with(image, bytes -> Qcow2Snapshots.delete(bytes, "before"));
            holds(image, content);
        }
    }

    @Test
    void aSnapshotKeepsTheSizeThatTheDiskHad() throws Exception {
        Path image = directory.resolve("sized.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", image, SIZE);
        byte[] content = new byte[SIZE];
        scribble(image, content, new SplittableRandom(4));
        with(image, bytes -> Qcow2Snapshots.create(bytes, "large", 1, 0));
        with(image, bytes -> Qcow2Resizer.resize(bytes, null, 512));
        holds(image, Arrays.copyOf(content, 512));
        with(image, bytes -> Qcow2Snapshots.apply(bytes, "1"));
        holds(image, content);
    }

    @Test
    void whatCannotBeIsRefusedAndChangesNothing() throws Exception {
        Path image = directory.resolve("refused.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", "-o", "refcount_bits=1", image, SIZE);
        scribble(image, new byte[SIZE], new SplittableRandom(5));
        refused(image, "1 bits", bytes -> Qcow2Snapshots.create(bytes, "a", 1, 0));
        refused(image, "no snapshot 'a'", bytes -> Qcow2Snapshots.apply(bytes, "a"));
        refused(image, "no snapshot 'a'", bytes -> Qcow2Snapshots.delete(bytes, "a"));
        refused(image, "1 to 255", bytes -> Qcow2Snapshots.create(bytes, "", 1, 0));
        refused(image, "multiple of 512", bytes -> Qcow2Resizer.resize(bytes, null, 1000));
        refused(image, "too small", bytes -> Qcow2Resizer.resize(bytes, null, 1L << 60));
        Path old = directory.resolve("old.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", "-o", "compat=0.10", old, SIZE);
        Program.ok("qemu-img", "snapshot", "-c", "there", old);
        refused(old, "already", bytes -> Qcow2Snapshots.create(bytes, "there", 1, 0));
        refused(old, "version 2", bytes -> Qcow2Resizer.resize(bytes, null, 2 * SIZE));
    }

    private void refused(Path image, String words, Work work) throws Exception {
        String before = Program.ok("qemu-img", "info", "-f", "qcow2", image).replaceAll("(?m)^disk size.*", "");
        assertThatThrownBy(() -> with(image, work)).hasMessageContaining(words);
        assertThat(Program.ok("qemu-img", "check", "-f", "qcow2", image)).contains("No errors");
        assertThat(Program.ok("qemu-img", "info", "-f", "qcow2", image).replaceAll("(?m)^disk size.*", ""))
                .isEqualTo(before);
    }

    @Test
    void dirtyBitmapsOutliveASnapshot() throws Exception {
        Path image = directory.resolve("bitmap.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", image, SIZE);
        Program.ok("qemu-img", "bitmap", "--add", "--enable", image, "kept");
        byte[] content = new byte[SIZE];
        scribble(image, content, new SplittableRandom(6));
        with(image, bytes -> Qcow2Snapshots.create(bytes, "a", 1, 0));
        assertThat(Program.ok("qemu-img", "info", image)).contains("kept").doesNotContain("in-use");
        holds(image, content);
    }

    @ParameterizedTest
    @CsvSource({
        "create, cluster_size=4k",
        "apply, cluster_size=4k",
        "delete, cluster_size=4k",
        "grow, cluster_size=4k",
        "shrink, cluster_size=4k",
        "empty, cluster_size=4k",
        "apply, 'extended_l2=on,cluster_size=16k'",
        "shrink, 'extended_l2=on,cluster_size=16k'"
    })
    void aCrashBetweenAnyTwoWritesLeavesTheOldOrTheNew(String what, String options) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            Path image = directory.resolve("crash.qcow2");
            int size = 1 << 20;
            Program.ok("qemu-img", "create", "-f", "qcow2", "-o", options, image, size);
            byte[] first = new byte[size];
            scribble(image, first, random);
            with(image, bytes -> Qcow2Snapshots.create(bytes, "there", 1, 0));
            byte[] second = first.clone();
            scribble(image, second, random);
            byte[] before = Files.readAllBytes(image);
            Work work = switch (what) {
                case "create" -> bytes -> Qcow2Snapshots.create(bytes, "new", 1, 0);
                case "apply" -> bytes -> Qcow2Snapshots.apply(bytes, "there");
                case "delete" -> bytes -> Qcow2Snapshots.delete(bytes, "there");
                case "grow" -> bytes -> Qcow2Resizer.resize(bytes, null, size + 5 * 512);
                case "empty" -> Qcow2Emptier::empty;
                default -> bytes -> Qcow2Resizer.resize(bytes, null, size / 2 + 512);
            };
            byte[] after = switch (what) {
                case "apply" -> first;
                case "empty" -> new byte[size];
                case "grow" -> Arrays.copyOf(second, size + 5 * 512);
                case "shrink" -> Arrays.copyOf(second, size / 2 + 512);
                default -> second;
            };
            boolean done = false;
            for (int stop = 0; !done; stop++) {
                done = crashAt(stop, work, before, second, after, random.nextLong());
                assertThat(stop).isLessThan(1000);
            }
        });
    }

    /** @return true if the change ran to its end */
    private boolean crashAt(int stop, Work work, byte[] before, byte[] old, byte[] fresh, long seed) throws Exception {
        CrashDisk disk = new CrashDisk(loop, seed, 16 << 20, true);
        disk.fill(before);
        @Nullable BlockException stopped = null;
        try {
            work.on(new StoppingFile(new LoopBytes(loop, CheckedDevice.of(disk, "file")), stop));
        } catch (BlockException failed) {
            stopped = failed;
        }
        for (boolean processOnly : new boolean[] {true, false}) {
            byte[] left = disk.afterCrash(new SplittableRandom(seed), processOnly);
            Path image = Files.write(directory.resolve("left.qcow2"), left);
            assertThat(OpenImage.check(image, Qcow2Checker.Repair.NONE).clean()).isTrue();
            if (stop % 7 == 0 || stopped == null) {
                Program.ok("qemu-img", "check", "-f", "qcow2", image);
            }
            try (OpenImage open = OpenImage.open(image)) {
                byte[] content = open.content();
                boolean isOld = Arrays.equals(content, old);
                assertThat(isOld || Arrays.equals(content, fresh)).isTrue();
            }
            try (OpenImage then = OpenImage.snapshot(image, "there")) {
                assertThat(then.content()).hasSize(1 << 20);
            } catch (BlockException gone) {
                assertThat(gone.kind()).isEqualTo(ErrorKind.NOT_FOUND);
            }
        }
        return stopped == null;
    }

    @Test
    void damagedImagesAreAClearErrorOrAreChangedSoundly() throws Exception {
        Path image = directory.resolve("hostile.qcow2");
        Program.ok("qemu-img", "create", "-f", "qcow2", "-o", "cluster_size=4k", image, 1 << 20);
        byte[] content = new byte[1 << 20];
        scribble(image, content, new SplittableRandom(8));
        with(image, bytes -> Qcow2Snapshots.create(bytes, "there", 1, 0));
        byte[] sound = Files.readAllBytes(image);
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            for (int round = 0; round < 150; round++) {
                byte[] damaged = sound.clone();
                for (int i = random.nextInt(3); i >= 0; i--) {
                    int area = random.nextBoolean() ? 112 : sound.length;
                    damaged[random.nextInt(area)] = (byte) (random.nextBoolean() ? -1 : random.nextInt());
                }
                MemoryDisk disk = MemoryDisk.growing(64 << 20);
                disk.fill(0, damaged);
                FileBytes bytes = new LoopBytes(loop, CheckedDevice.of(disk, "file"));
                try {
                    switch (random.nextInt(4)) {
                        case 0 -> Qcow2Snapshots.create(bytes, "new", 1, 0);
                        case 1 -> Qcow2Snapshots.apply(bytes, "there");
                        case 2 -> Qcow2Snapshots.delete(bytes, "there");
                        default -> Qcow2Resizer.resize(bytes, null, 2 << 20);
                    }
                    assertThat(Qcow2Checker.check(bytes, Qcow2Checker.Repair.NONE)
                                    .corruptions())
                            .isZero();
                } catch (BlockException clear) {
                    assertThat(clear.error().detail()).isNotBlank();
                }
            }
        });
    }
}
