package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.Stacks;
import dev.ferry.testkit.LoopMount;
import dev.ferry.testkit.SmallDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What {@code --preallocation} promises of an image that is made or converted, beside those that qemu-img makes with the same option. */
@Timeout(300)
final class PreallocationTest {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    /** Half a cluster of the largest at its end. */
    private static final long SIZE_BYTES = 13L << 20;
    /** What file systems round up, and clusters that only one of both has counted. */
    private static final long SLACK_BYTES = 128 << 10;

    private static final List<String> MODES = List.of("off", "metadata", "falloc", "full");

    @TempDir
    Path directory;

    private Path file(String name) {
        return directory.resolve(name);
    }

    private static FerryHost.Result run(String options, Object... command) {
        List<String> all = new ArrayList<>();
        for (Object word : command) {
            all.add(word.toString());
        }
        if (!options.isEmpty()) {
            all.addAll(List.of(options.split(" ")));
        }
        return FerryHost.bare(all.toArray(String[]::new));
    }

    private static FerryHost.Result create(Path image, String options) {
        return run(options, "image", "create", image, "--size", SIZE_BYTES);
    }

    private static JsonNode map(String format, Path image) {
        return JSON.readTree(succeeds("qemu-img", "map", "--output=json", "-f", format, image));
    }

    private static JsonNode info(Path image) {
        return JSON.readTree(succeeds("qemu-img", "info", "--output=json", "-f", "qcow2", image));
    }

    /** A disk that holds nothing, to compare with. */
    private Path empty() throws IOException {
        Path empty = file("empty.raw");
        try (var made = new java.io.RandomAccessFile(empty.toFile(), "rw")) {
            made.setLength(SIZE_BYTES);
        }
        return empty;
    }

    private static void assertEqual(String format, Path raw, Path image) {
        succeeds("qemu-img", "compare", "-f", "raw", "-F", format, raw, image);
    }

    /** Every cluster has a place, whatever is in it. */
    private static void assertMapped(Path image) {
        for (JsonNode range : map("qcow2", image)) {
            assertThat(range.path("present").asBoolean()).as("%s", range).isTrue();
            assertThat(range.has("offset")).as("%s", range).isTrue();
        }
        String checked = succeeds("qemu-img", "check", "-f", "qcow2", image);
        assertThat(checked).contains("= 100.00% allocated").contains("No errors");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--qcow2-version=2 | compat=0.10",
                "--qcow2-version=2 --cluster-size=512 | compat=0.10,cluster_size=512",
                "'' | compat=1.1",
                "--cluster-size=512 --refcount-bits=1 | cluster_size=512,refcount_bits=1",
                "--cluster-size=4K --refcount-bits=8 | cluster_size=4k,refcount_bits=8",
                "--cluster-size=2M --refcount-bits=64 | cluster_size=2M,refcount_bits=64",
                "--extended-l2 | extended_l2=on,cluster_size=128k",
                "--extended-l2 --cluster-size=16K | extended_l2=on,cluster_size=16k"
            })
    void aQcow2ImageHasWhatWasAskedForAsThatOfQemuHas(String options, String theirs) throws IOException {
        Path empty = empty();
        for (String mode : MODES) {
            Path ours = file("ours-" + mode + ".qcow2");
            Path qemus = file("qemus-" + mode + ".qcow2");
            create(ours, (options + " --format=qcow2 --preallocation=" + mode).strip())
                    .done();
            succeeds(
                    "qemu-img",
                    "create",
                    "-q",
                    "-f",
                    "qcow2",
                    "-o",
                    theirs + ",preallocation=" + mode,
                    qemus,
                    Long.toString(SIZE_BYTES));
            Images.sound(ours);
            assertEqual("qcow2", empty, ours);
            long room = Stacks.allocatedBytes(ours);
            if (mode.equals("off")) {
                assertThat(map("qcow2", ours).get(0).path("present").asBoolean())
                        .isFalse();
            } else {
                assertMapped(ours);
                assertThat(Files.size(ours)).as(mode).isBetween(SIZE_BYTES, Files.size(qemus) + SLACK_BYTES);
            }
            if (mode.equals("off") || mode.equals("metadata")) {
                assertThat(room).as(mode).isLessThanOrEqualTo(Stacks.allocatedBytes(qemus) + SLACK_BYTES);
                assertThat(room).as(mode).isLessThan(SIZE_BYTES);
            } else {
                assertThat(room).as(mode).isBetween(SIZE_BYTES, Stacks.allocatedBytes(qemus) + SLACK_BYTES);
            }
            assertThat(info(ours).path("cluster-size")).isEqualTo(info(qemus).path("cluster-size"));
            assertThat(info(ours).path("format-specific").path("data"))
                    .isEqualTo(info(qemus).path("format-specific").path("data"));

            // Theirs is read here, and both write to ours.
            FerryHost.bare(
                            "image",
                            "compare",
                            ours.toString(),
                            qemus.toString(),
                            "--format",
                            "qcow2",
                            "--format-b",
                            "qcow2")
                    .done();
            succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 5 1000k 3M", "-c", "write -z 2M 512k", ours);
            Images.sound(ours);
            succeeds("qemu-io", "-f", "qcow2", "-c", "read -P 5 1000k 1000k", "-c", "read -P 0 2M 512k", ours);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "--data-file-raw", "--extended-l2"})
    void aDataFileHasTheRoomOfTheData(String options) throws IOException {
        Path empty = empty();
        for (String mode : MODES) {
            Path image = file("image-" + mode + ".qcow2");
            Path data = file("data-" + mode);
            create(image, (options + " --format=qcow2 --data-file=data-" + mode + " --preallocation=" + mode).strip())
                    .done();
            Images.sound(image);
            assertEqual("qcow2", empty, image);
            assertThat(Files.size(data)).isEqualTo(SIZE_BYTES);
            assertThat(Stacks.allocatedBytes(image)).isLessThan(1 << 20);
            if (mode.equals("falloc") || mode.equals("full")) {
                assertThat(Stacks.allocatedBytes(data)).isGreaterThanOrEqualTo(SIZE_BYTES);
            } else {
                assertThat(Stacks.allocatedBytes(data)).isLessThan(1 << 20);
            }
            if (!mode.equals("off")) {
                assertMapped(image);
            }
        }
    }

    /** Room that is reserved is a hole to those who look for data; room that was written is none. */
    @ParameterizedTest
    @CsvSource({
        "raw, raw, ''",
        "vmdk, vmdk, --subformat=monolithicFlat",
        "vmdk, vmdk, --subformat=twoGbMaxExtentFlat",
        "vmdk, vmdk, --subformat=vmfs",
        "vhd, vpc, --subformat=fixed",
        "vhdx, vhdx, --subformat=fixed"
    })
    void aDiskThatLiesInItsFileAsItIsHasAllItsRoom(String format, String theirs, String options) throws IOException {
        Path empty = empty();
        Path raw = Images.raw(file("disk.raw"));
        for (String mode : List.of("off", "falloc", "full")) {
            Path made = Files.createDirectory(file(mode));
            Path image = made.resolve("image." + format);
            String said = (options + " --format=" + format + " --preallocation=" + mode).strip();
            create(image, said).done();
            assertEqual(theirs, empty, image);
            long room = room(made);
            if (mode.equals("off")) {
                assertThat(room).isLessThan(SIZE_BYTES / 4);
            } else {
                assertThat(room).as(mode).isGreaterThanOrEqualTo(SIZE_BYTES);
            }
            if (format.equals("raw")) {
                assertThat(map("raw", image).get(0).path("data").asBoolean()).isEqualTo(mode.equals("full"));
            }
            Path converted = Files.createDirectory(file("converted-" + mode));
            image = converted.resolve("image." + format);
            run(said, "image", "convert", raw, image).done();
            assertEqual(theirs, raw, image);
            if (mode.equals("off")) {
                assertThat(room(converted)).isLessThan(Files.size(raw));
            } else {
                assertThat(room(converted)).as(mode).isGreaterThanOrEqualTo(Files.size(raw));
            }
        }
    }

    private static long room(Path folder) throws IOException {
        long bytes = 0;
        try (Stream<Path> files = Files.list(folder)) {
            for (Path each : files.toList()) {
                bytes += Stacks.allocatedBytes(each);
            }
        }
        return bytes;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "--qcow2-version=2",
                "--cluster-size=512",
                "--cluster-size=16K",
                "--extended-l2",
                "--data-file=data",
                "--data-file=data --data-file-raw"
            })
    void whatIsConvertedKeepsItsRoom(String options) throws IOException {
        Path raw = Images.raw(file("disk.raw"));
        long sizeBytes = Files.size(raw);
        long[] rooms = new long[MODES.size()];
        for (String mode : MODES) {
            Path folder = Files.createDirectory(file(mode));
            Path image = folder.resolve("image.qcow2");
            run((options + " --preallocation=" + mode).strip(), "image", "convert", raw, image, "--format", "qcow2")
                    .done();
            Images.sound(image);
            assertEqual("qcow2", raw, image);
            if (!mode.equals("off")) {
                assertMapped(image);
            }
            rooms[MODES.indexOf(mode)] = room(folder);
        }
        assertThat(rooms[2]).isGreaterThanOrEqualTo(sizeBytes);
        assertThat(rooms[3]).isGreaterThanOrEqualTo(sizeBytes);
        // A third of the disk is zeroes.
        assertThat(rooms[0]).isLessThanOrEqualTo(rooms[2] - Images.DATA_BYTES + SLACK_BYTES);
        assertThat(rooms[1]).isLessThanOrEqualTo(rooms[2] - Images.DATA_BYTES + SLACK_BYTES);
    }

    /** As with QEMU: with extended L2 entries a cluster can have a place while what is below shows through. */
    @Test
    void anOverlayHasPlacesThatHideNothing() throws IOException {
        Path base = Images.raw(file("base.raw"));
        Path over = file("over.qcow2");
        String below = "--format=qcow2 --backing=base.raw --backing-format=raw --preallocation=";
        run(below + "metadata --extended-l2", "image", "create", over).done();
        Images.sound(over);
        assertThat(succeeds("qemu-img", "check", "-f", "qcow2", over)).contains("= 100.00% allocated");
        assertEqual("qcow2", base, over);
        long before = Files.size(over);
        succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 3 100k 9M", "-c", "read -P 3 100k 9M", over);
        Images.sound(over);
        assertThat(Files.size(over)).isEqualTo(before);

        run(below + "metadata", "image", "create", file("no")).failed(2, "needs --extended-l2");
        for (String mode : List.of("falloc", "full")) {
            run(below + mode + " --extended-l2", "image", "create", file("no")).failed(2, "no room of its own");
        }
        assertThat(file("no")).doesNotExist();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--format=raw --preallocation=metadata | for qcow2 images",
                "--format=vhdx --subformat=fixed --preallocation=metadata | for qcow2 images",
                "--format=qcow2 --preallocation=some | there are off, metadata, falloc and full",
                "--format=vmdk --preallocation=falloc | for --subformat monolithicFlat",
                "--format=vmdk --subformat=twoGbMaxExtentSparse --preallocation=full | for --subformat monolithicFlat",
                "--format=vhd --preallocation=full | for --subformat fixed",
                "--format=vhdx --preallocation=falloc | for --subformat fixed"
            })
    void whatCannotBeIsRefused(String options, String words) throws IOException {
        Path raw = Images.raw(file("disk.raw"));
        create(file("no"), options).failed(2, words);
        run(options, "image", "convert", raw, file("no")).failed(2, words);
        run("--format=qcow2 --compress=zstd --preallocation=metadata", "image", "convert", raw, file("no"))
                .failed(2, "--compress goes without --preallocation");
        try (Stream<Path> files = Files.list(directory)) {
            assertThat(files.toList()).containsExactly(raw);
        }
    }

    @Test
    void aDeltaHasNoRoomOfItsOwn() {
        create(file("parent.vhd"), "--format=vhd").done();
        run(
                        "--backing=parent.vhd --preallocation=falloc",
                        "image",
                        "create",
                        file("no"),
                        "--format=vhd",
                        "--subformat=fixed")
                .failed(2, "a delta takes its room");
        assertThat(file("no")).doesNotExist();
    }

    @ParameterizedTest
    @CsvSource({
        "tmpfs, raw, ''",
        "tmpfs, qcow2, ''",
        "tmpfs, qcow2, --data-file=data",
        "tmpfs, vmdk, --subformat=twoGbMaxExtentFlat",
        "tmpfs, vhd, --subformat=fixed",
        "tmpfs, vhdx, --subformat=fixed",
        "ext4, raw, ''",
        "ext4, qcow2, --extended-l2",
        "ext4, vmdk, --subformat=monolithicFlat",
        "xfs, qcow2, ''",
    })
    void whereThereIsNotEnoughRoomNothingIsLeft(String kind, String format, String options) throws IOException {
        Path raw = Images.raw(file("disk.raw"));
        long hasBytes = kind.equals("xfs") ? 400L << 20 : 8L << 20;
        long wantedBytes = kind.equals("xfs") ? 1L << 30 : SIZE_BYTES;
        if (kind.equals("tmpfs")) {
            try (SmallDisk small = SmallDisk.of(directory, hasBytes)) {
                assertNothingLeft(small.path(), raw, format, options, wantedBytes);
            }
        } else {
            try (LoopMount mount = LoopMount.of(directory, kind, hasBytes)) {
                assertNothingLeft(mount.path(), raw, format, options, wantedBytes);
            }
        }
    }

    private static void assertNothingLeft(Path folder, Path raw, String format, String options, long wantedBytes)
            throws IOException {
        Path image = folder.resolve("image");
        for (String mode : List.of("falloc", "full")) {
            String said = (options + " --format=" + format + " --preallocation=" + mode).strip();
            run(said, "image", "create", image, "--size", wantedBytes).failed(1, "o space left on device");
            assertEmpty(folder);
            if (wantedBytes == SIZE_BYTES) {
                run(said, "image", "convert", raw, image).failed(1, "o space left on device");
                assertEmpty(folder);
            }
        }
    }

    private static void assertEmpty(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            assertThat(files.filter(each -> !each.endsWith("lost+found"))).isEmpty();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "qcow2, '', ''",
        "qcow2, --cluster-size=512, cluster_size=512",
        "qcow2, --extended-l2, 'extended_l2=on,cluster_size=128k'",
        "raw, '', ''"
    })
    void isMeasuredAsQemuMeasuresIt(String format, String options, String theirs) throws IOException {
        Path raw = Images.raw(file("disk.raw"));
        for (String mode : MODES) {
            if (format.equals("raw") && mode.equals("metadata")) {
                continue;
            }
            String said = (options + " --json --format=" + format + " --preallocation=" + mode).strip();
            String option = (theirs.isEmpty() ? "" : theirs + ",") + "preallocation=" + mode;
            assertThat(run(said, "image", "measure", raw).done().json())
                    .isEqualTo(JSON.readTree(succeeds(
                            "qemu-img", "measure", "--output=json", "-f", "raw", "-O", format, "-o", option, raw)));
            assertThat(run(said, "image", "measure", "--size", "10G").done().json())
                    .isEqualTo(JSON.readTree(succeeds(
                            "qemu-img", "measure", "--output=json", "-O", format, "-o", option, "--size", "10G")));
        }
    }
}
