package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.Program;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Two images with subclusters, or with data files, get the same changes, one from QEMU and the other from Ferry, and the next
 * ones the other way round. After each turn both hold the same, QEMU finds nothing in either, and both programs see the same map of it.
 */
class TurnsWithQemuTest {
    private static final int SIZE = (5 << 20) + 512;
    private static final int BLOCK = 512;
    private static final int TURNS = 4;
    private static final Pattern EXTENT = Pattern.compile(
            "\"start\": (\\d+), \"length\": (\\d+), \"depth\": (\\d+), \"present\": (true|false), \"zero\": (true|false)");

    @TempDir
    Path directory;

    private byte @Nullable [] below;
    private byte[] content = {};

    /** What is done to a range; {@code pattern} 0 is zeroes, and less than that a discard. */
    private record Change(int at, int length, int pattern) {
        String forQemu() {
            return pattern > 0
                    ? "write -P " + pattern + " " + at + " " + length
                    : (pattern == 0 ? "write -z -u " : "write -z ") + at + " " + length;
        }
    }

    private List<Change> changes(SplittableRandom random) {
        List<Change> changes = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            int at = random.nextInt(SIZE / BLOCK) * BLOCK;
            int blocks = 1 + random.nextInt(random.nextBoolean() ? 20 : 900);
            int length = Math.min(SIZE - at, blocks * BLOCK);
            int pattern = random.nextInt(3) == 0 ? -random.nextInt(2) : 1 + random.nextInt(250);
            changes.add(new Change(at, length, pattern));
        }
        return changes;
    }

    private void byQemu(Path image, List<Change> changes) {
        List<Object> commands = new ArrayList<>(List.of("-f", "qcow2"));
        for (Change change : changes) {
            commands.add("-c");
            commands.add(change.forQemu());
        }
        commands.add(image);
        Program.ok("qemu-io", commands.toArray());
    }

    private OpenImage open(Path image) throws Exception {
        byte[] under = below;
        if (under == null) {
            return OpenImage.open(image);
        }
        MemoryDisk disk = new MemoryDisk(under.length);
        disk.fill(0, under);
        return OpenImage.open(image, CheckedDevice.of(disk, "base"));
    }

    private void byFerry(Path image, List<Change> changes) throws Exception {
        try (OpenImage open = open(image)) {
            for (Change change : changes) {
                byte[] bytes = new byte[change.length];
                Arrays.fill(bytes, (byte) change.pattern);
                BlockDevice disk = open.device;
                if (change.pattern > 0) {
                    open.write(change.at, bytes);
                } else if (change.pattern == 0) {
                    assertThat(OnLoop.await(open.loop, end -> disk.discard(change.at, change.length, 0, end)))
                            .isNull();
                } else {
                    assertThat(OnLoop.await(open.loop, end -> disk.writeZeroes(change.at, change.length, 0, end)))
                            .isNull();
                }
            }
            assertThat(Arrays.mismatch(open.content(), content)).isEqualTo(-1);
        }
    }

    private void holds(Path image) throws Exception {
        assertThat(Program.ok("qemu-img", "check", "-f", "qcow2", image))
                .contains("No errors were found")
                .doesNotContain("leaked");
        assertThat(OpenImage.check(image, Qcow2Checker.Repair.NONE).findings()).isEmpty();
        Path model = Files.write(directory.resolve("model.raw"), content);
        Program.ok("qemu-img", "compare", "-f", "qcow2", "-F", "raw", image, model);
        sameMap(image);
    }

    /** Block by block: what is this image's own, and what of that reads as zeroes. */
    private void sameMap(Path image) throws Exception {
        byte[] here = new byte[SIZE / BLOCK];
        try (OpenImage open = open(image)) {
            assertThat(OnLoop.await(
                            open.loop,
                            end -> open.image.ownExtents(
                                    0, SIZE, (at, length, state) -> mark(here, at, length, state), end)))
                    .isNull();
        }
        Matcher there = EXTENT.matcher(Program.ok("qemu-img", "map", "--output=json", "-f", "qcow2", image));
        int[] last = {0};
        while (there.find()) {
            int from = Integer.parseInt(there.group(1)) / BLOCK;
            int to = from + Integer.parseInt(there.group(2)) / BLOCK;
            boolean shownFromBelow = below != null && Integer.parseInt(there.group(3)) > 0;
            boolean zero = there.group(5).equals("true");
            for (int block = from; block < to && !shownFromBelow; block++) {
                // QEMU looks into the file too, where it may find that what is data here is a hole.
                assertThat((here[block] & ExtentSink.ZERO) == 0 || zero)
                        .as("zeroes of block %d", block)
                        .isTrue();
                assertThat(here[block]).as("block %d is its own", block).isNotEqualTo((byte) ExtentSink.HOLE);
            }
            for (int block = from; block < to && shownFromBelow; block++) {
                boolean ours = here[block] == ExtentSink.HOLE || block >= Objects.requireNonNull(below).length / BLOCK;
                assertThat(ours).as("block %d is from below", block).isTrue();
            }
            last[0] = to;
        }
        assertThat(last[0]).isEqualTo(SIZE / BLOCK);
    }

    private static void mark(byte[] blocks, long at, long length, int state) {
        Arrays.fill(blocks, (int) (at / BLOCK), (int) ((at + length) / BLOCK), (byte) state);
    }

    /** Where a raw data file is, it is what the guest sees. */
    private void asTheGuestSeesIt(Path image, String options) throws Exception {
        if (options.contains("data_file_raw")) {
            // QEMU makes it as long as whole clusters.
            byte[] data = Files.readAllBytes(dataOf(image));
            assertThat(Arrays.mismatch(data, Arrays.copyOf(content, data.length)))
                    .isEqualTo(-1);
        }
    }

    private static Path dataOf(Path image) {
        return image.resolveSibling(image.getFileName() + ".data");
    }

    @ParameterizedTest
    @CsvSource({
        "'extended_l2=on,cluster_size=16k', false",
        "'extended_l2=on,cluster_size=64k', false",
        "'extended_l2=on,cluster_size=128k', false",
        "'extended_l2=on,cluster_size=2M', false",
        "'extended_l2=on,cluster_size=16k', true",
        "'extended_l2=on,cluster_size=128k', true",
        "'extended_l2=on,cluster_size=2M', true",
        "'data_file=DATA', false",
        "'data_file=DATA,cluster_size=4k', true",
        "'data_file=DATA,data_file_raw=on', false",
        "'data_file=DATA,data_file_raw=on,extended_l2=on,cluster_size=32k', false",
        "'data_file=DATA,extended_l2=on', true"
    })
    void bothWriteTheSameAndSeeTheSame(String options, boolean overlay) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            content = new byte[SIZE];
            List<Object> over = List.of();
            if (overlay) {
                byte[] under = new byte[SIZE - (1 << 20) - BLOCK];
                random.nextBytes(under);
                below = under;
                over = List.of("-b", Files.write(directory.resolve("base.raw"), under), "-F", "raw");
                System.arraycopy(under, 0, content, 0, under.length);
            }
            Path one = directory.resolve("one.qcow2");
            Path other = directory.resolve("other.qcow2");
            for (Path image : List.of(one, other)) {
                String its = options.replace("DATA", dataOf(image).toString());
                List<Object> create = new ArrayList<>(List.of("create", "-f", "qcow2", "-o", its));
                create.addAll(over);
                create.addAll(List.of(image, SIZE));
                Program.ok("qemu-img", create.toArray());
            }
            for (int turn = 0; turn < TURNS; turn++) {
                List<Change> changes = changes(random);
                for (Change change : changes) {
                    Arrays.fill(content, change.at, change.at + change.length, (byte) Math.max(0, change.pattern));
                }
                byQemu(turn % 2 == 0 ? one : other, changes);
                byFerry(turn % 2 == 0 ? other : one, changes);
                for (Path image : List.of(one, other)) {
                    holds(image);
                    asTheGuestSeesIt(image, options);
                }
            }
        });
    }

    /** Only what is touched is copied from below, and only where it has data do the clusters of the image take room. */
    @Test
    void onlyTheSubclusterThatIsTouchedIsCopied() throws Exception {
        byte[] under = new byte[SIZE];
        Arrays.fill(under, (byte) 7);
        below = under;
        Path base = Files.write(directory.resolve("base.raw"), under);
        Path image = directory.resolve("image.qcow2");
        OpenImage.create(image, SIZE, Qcow2Options.DEFAULT.withExtendedL2().withBacking(base.toString(), "raw"));
        List<long[]> own = new ArrayList<>();
        try (OpenImage open = open(image)) {
            open.write(128 << 10, new byte[512]);
            open.write((128 << 10) + 8192 + 1024, new byte[512]);
            assertThat(OnLoop.await(open.loop, end -> open.device.discard((128 << 10) + 16384, 4096, 0, end)))
                    .isNull();
            assertThat(OnLoop.await(
                            open.loop,
                            end -> open.image.ownExtents(
                                    0,
                                    SIZE,
                                    (at, length, state) -> {
                                        if (state != ExtentSink.HOLE) {
                                            own.add(new long[] {at - (128 << 10), length, state & ExtentSink.ZERO});
                                        }
                                    },
                                    end)))
                    .isNull();
            IoBuffer buffer = IoBuffer.allocate(512);
            assertThat(OnLoop.await(open.loop, end -> open.device.read((128 << 10) + 8192, buffer, 0, 512, end)))
                    .isNull();
            byte[] around = new byte[512];
            buffer.copyTo(0, around, 0, 512);
            assertThat(around).containsOnly(7);
        }
        assertThat(own)
                .containsExactly(
                        new long[] {0, 4096, 0}, new long[] {8192, 4096, 0}, new long[] {16384, 4096, ExtentSink.ZERO});
    }
}
