package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ExtentSink;
import dev.ferry.image.Program;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What QEMU writes Ferry reads, and the other way round, byte by byte; its checker finds nothing in what Ferry wrote. */
class QemuTest {
    private static final int SIZE = (4 << 20) + 1536;

    @TempDir
    Path directory;

    private Path image() {
        return directory.resolve("disk.qcow2");
    }

    private Path raw(String name, byte[] content) throws Exception {
        return Files.write(directory.resolve(name), content);
    }

    /** Patches of random bytes and of zeroes in a disk that is mostly hole. */
    private static byte[] patches(long seed, int size) {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] content = new byte[size];
        for (int i = 0; i < 12; i++) {
            byte[] patch = new byte[1 + random.nextInt(200_000)];
            random.nextBytes(patch);
            int at = random.nextInt(size);
            System.arraycopy(patch, 0, content, at, Math.min(patch.length, size - at));
        }
        return content;
    }

    private void soundFor(Path image, byte[] content) throws Exception {
        Program.ok("qemu-img", "check", "-f", "qcow2", image);
        Path model = raw("model.raw", content);
        Program.ok("qemu-img", "compare", "-f", "qcow2", "-F", "raw", image, model);
        CheckReport report = OpenImage.check(image, Qcow2Checker.Repair.NONE);
        assertThat(report.findings()).isEmpty();
    }

    static Stream<Qcow2Options> variants() {
        Qcow2Options usual = Qcow2Options.DEFAULT;
        return Stream.of(
                usual,
                usual.withClusterBits(9),
                usual.withClusterBits(12),
                usual.withClusterBits(21),
                usual.withVersion(2),
                usual.withRefcountOrder(0),
                usual.withRefcountOrder(2).withClusterBits(9),
                usual.withRefcountOrder(3).withClusterBits(10),
                usual.withRefcountOrder(5).withClusterBits(9),
                usual.withRefcountOrder(6).withClusterBits(9),
                usual.withZstd(),
                usual.withMapped(),
                usual.withMapped().withClusterBits(9),
                usual.withExtendedL2(),
                usual.withExtendedL2().withClusterBits(14).withRefcountOrder(1),
                usual.withExtendedL2().withMapped().withClusterBits(21));
    }

    @ParameterizedTest
    @MethodSource("variants")
    void qemuReadsWhatWasWrittenHere(Qcow2Options options) {
        Seeds.run(seed -> {
            OpenImage.create(image(), SIZE, options);
            Program.ok("qemu-img", "check", "-f", "qcow2", image());
            byte[] content = new byte[SIZE];
            try (OpenImage open = OpenImage.open(image())) {
                open.load(seed, content, 150);
            }
            soundFor(image(), content);
            try (OpenImage open = OpenImage.open(image())) {
                open.load(seed + 1, content, 50);
            }
            soundFor(image(), content);
        });
    }

    static Stream<String> foreignOptions() {
        return Stream.of(
                "compat=1.1",
                "compat=0.10",
                "compat=1.1,cluster_size=512",
                "compat=1.1,cluster_size=2M",
                "compat=1.1,refcount_bits=1",
                "compat=1.1,refcount_bits=64,cluster_size=4k",
                "compat=1.1,lazy_refcounts=on",
                "extended_l2=on",
                "extended_l2=on,cluster_size=16k,lazy_refcounts=on",
                "extended_l2=on,cluster_size=2M",
                "extended_l2=on,preallocation=metadata",
                "preallocation=metadata",
                "preallocation=falloc",
                "preallocation=full");
    }

    @ParameterizedTest
    @MethodSource("foreignOptions")
    void whatQemuWroteIsReadAndWrittenHere(String options) {
        Seeds.run(seed -> {
            byte[] content = patches(seed, SIZE);
            Path raw = raw("content.raw", content);
            Program.ok("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", options, raw, image());
            try (OpenImage open = OpenImage.readOnly(image())) {
                assertThat(Arrays.mismatch(open.content(), content)).isEqualTo(-1);
            }
            assertThat(OpenImage.check(image(), Qcow2Checker.Repair.NONE).findings())
                    .isEmpty();
            try (OpenImage open = OpenImage.open(image())) {
                open.load(seed, content, 100);
            }
            soundFor(image(), content);
        });
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "zlib",
                "zlib,cluster_size=2M",
                "zlib,cluster_size=4k",
                "zstd",
                "zstd,cluster_size=512",
                "zlib,extended_l2=on",
                "zstd,extended_l2=on,cluster_size=16k"
            })
    void compressedClustersAreReadAndOverwritten(String options) {
        Seeds.run(seed -> {
            byte[] content = patches(seed, SIZE);
            for (int i = 0; i < content.length; i += 2) {
                content[i] = (byte) (i >> 12);
            }
            Path raw = raw("content.raw", content);
            Program.ok(
                    "qemu-img",
                    "convert",
                    "-c",
                    "-f",
                    "raw",
                    "-O",
                    "qcow2",
                    "-o",
                    "compression_type=" + options,
                    raw,
                    image());
            try (OpenImage open = OpenImage.open(image())) {
                assertThat(Arrays.mismatch(open.content(), content)).isEqualTo(-1);
                open.load(seed, content, 60);
            }
            soundFor(image(), content);
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"compat=1.1", "compat=0.10,cluster_size=4k", "extended_l2=on,cluster_size=32k"})
    void anInternalSnapshotKeepsWhatItHad(String options) {
        Seeds.run(seed -> {
            byte[] content = patches(seed, SIZE);
            Path raw = raw("content.raw", content);
            Program.ok("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", options, raw, image());
            Program.ok("qemu-img", "snapshot", "-c", "before", image());
            byte[] now = content.clone();
            try (OpenImage open = OpenImage.open(image())) {
                open.load(seed, now, 80);
            }
            soundFor(image(), now);
            try (OpenImage open = OpenImage.snapshot(image(), "before")) {
                assertThat(Arrays.mismatch(open.content(), content)).isEqualTo(-1);
            }
            Program.ok("qemu-img", "snapshot", "-a", "before", image());
            soundFor(image(), content);
            Program.ok("qemu-img", "snapshot", "-d", "before", image());
            soundFor(image(), content);
        });
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3})
    void anOverlayHidesItsBackingFileWhereItWasWritten(int version) {
        Seeds.run(seed -> {
            byte[] below = patches(seed, SIZE - 700_000);
            Path base = raw("base.raw", below);
            OpenImage.create(
                    image(), SIZE, Qcow2Options.DEFAULT.withVersion(version).withBacking(base.toString(), "raw"));
            MemoryDisk memory = new MemoryDisk(below.length);
            memory.fill(0, below);
            byte[] content = Arrays.copyOf(below, SIZE);
            try (OpenImage open = OpenImage.open(image(), CheckedDevice.of(memory, "base"))) {
                open.load(seed, content, 150);
            }
            soundFor(image(), content);
        });
    }

    @Test
    void theMapIsWhatQemuSees() throws Exception {
        OpenImage.create(image(), SIZE, Qcow2Options.DEFAULT);
        byte[] content = new byte[SIZE];
        List<long[]> here = new ArrayList<>();
        try (OpenImage open = OpenImage.open(image())) {
            open.load(99, content, 60);
        }
        try (OpenImage open = OpenImage.readOnly(image())) {
            BlockDevice device = open.device;
            assertThat(OnLoop.await(
                            open.loop,
                            end -> device.extents(
                                    0,
                                    SIZE,
                                    (offset, length, state) -> here.add(
                                            new long[] {offset, length, (state & ExtentSink.ZERO) == 0 ? 1 : 0}),
                                    end)))
                    .isNull();
        }
        List<long[]> there = new ArrayList<>();
        Matcher extents = Pattern.compile("\"start\": (\\d+), \"length\": (\\d+),.*?\"zero\": (true|false)")
                .matcher(Program.ok("qemu-img", "map", "--output=json", "-f", "qcow2", image()));
        while (extents.find()) {
            there.add(new long[] {
                Long.parseLong(extents.group(1)),
                Long.parseLong(extents.group(2)),
                extents.group(3).equals("true") ? 0 : 1
            });
        }
        // QEMU looks into the file too, and tells holes in clusters that are allocated: it may call zero what is data
        // here.
        assertThat(data(here)).containsAll(data(there));
        assertThat(data(here).size()).isLessThan(data(there).size() + 4 * 16 * 20);
    }

    private static Set<Long> data(List<long[]> extents) {
        Set<Long> blocks = new HashSet<>();
        for (long[] extent : extents) {
            for (long at = extent[0] / 4096; extent[2] == 1 && at < (extent[0] + extent[1] + 4095) / 4096; at++) {
                blocks.add(at);
            }
        }
        return blocks;
    }

    @Test
    void leaksAndLowCountsAreFoundAndMended() throws Exception {
        byte[] content = patches(5, SIZE);
        OpenImage.create(image(), SIZE, Qcow2Options.DEFAULT);
        try (OpenImage open = OpenImage.open(image())) {
            open.write(0, content);
        }
        byte[] file = Files.readAllBytes(image());
        int block = (int) Qcow2Layout.u64(file, (int) Qcow2Layout.u64(file, Qcow2Layout.REFCOUNT_TABLE_OFFSET));
        file[block + 2 * 7 + 1] = 0;
        file[block + 2 * 9 + 1] = 5;
        file[block + 2 * 500 + 1] = 1;
        Files.write(image(), file);
        assertThat(Program.run("qemu-img", "check", "-f", "qcow2", image()).status())
                .isEqualTo(2);
        CheckReport found = OpenImage.check(image(), Qcow2Checker.Repair.NONE);
        assertThat(found.corruptions()).isPositive();
        assertThat(found.leaks()).isPositive();
        CheckReport mended = OpenImage.check(image(), Qcow2Checker.Repair.ALL);
        assertThat(mended.clean()).isTrue();
        assertThat(mended.corruptionsFixed()).isEqualTo(found.corruptions());
        soundFor(image(), content);
    }
}
