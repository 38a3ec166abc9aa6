package dev.ferry.migration;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/** Disks with internal snapshots that QEMU has made, in datastore slow of a world, and what it says of them wherever they are. */
final class Snapshots {
    private static final int PIECE_BYTES = 100 << 10;

    private final World world;
    private final Path directory;
    /** How images are made. */
    String options = "cluster_size=64k";

    Snapshots(World world) throws IOException {
        this.world = world;
        this.directory = world.directory;
    }

    /**
     * A disk of {@link Layers#SIZE}, most of which it shares with each of three snapshots.
     *
     * @param backing a raw file beside it; null: none
     * @return what it reads like
     */
    byte[] disk(String name, @Nullable String backing, long seed) throws Exception {
        Path file = world.datastore("slow").directory().resolve(name + ".qcow2");
        List<Object> create = new ArrayList<>(List.of("create", "-f", "qcow2", "-o", options));
        if (backing != null) {
            create.addAll(List.of("-b", backing, "-F", "raw"));
        }
        create.addAll(List.of(file, Layers.SIZE));
        succeeds("qemu-img", create.toArray());
        SplittableRandom random = new SplittableRandom(seed);
        change(file, "write -P 1 0 3M");
        for (int i = 1; i <= 3; i++) {
            succeeds("qemu-img", "snapshot", "-c", name + "-" + i, file);
            scatter(file, random, 1 + i);
        }
        world.know(new DiskSpec(name, file, Provisioning.THIN, false, false, ImageFormat.QCOW2, Layers.SIZE));
        return content(file, null);
    }

    /** Some data, some zeroes. */
    void scatter(Path file, SplittableRandom random, int pattern) {
        int at = 512 * random.nextInt((Layers.SIZE - PIECE_BYTES) / 512);
        int zeroes = 512 * random.nextInt((Layers.SIZE - PIECE_BYTES) / 512);
        change(file, "write -P " + pattern + " " + at + " " + PIECE_BYTES);
        change(file, "write -z " + (random.nextBoolean() ? "-u " : "") + zeroes + " " + PIECE_BYTES);
    }

    private static void change(Path file, String command) {
        succeeds("qemu-io", "-f", "qcow2", "-c", command, file);
    }

    /** What the image holds now, or held then. */
    byte[] content(Path file, @Nullable String snapshot) throws IOException {
        Path raw = directory.resolve("content.raw");
        List<Object> convert = new ArrayList<>(List.of("convert", "-f", "qcow2"));
        if (snapshot != null) {
            convert.addAll(List.of("-l", "snapshot.name=" + snapshot));
        }
        convert.addAll(List.of("-O", "raw", file, raw));
        succeeds("qemu-img", convert.toArray());
        return Files.readAllBytes(raw);
    }

    /** What QEMU lists. */
    static String list(Path file) {
        return succeeds("qemu-img", "snapshot", "-l", file);
    }

    /** Of a disk with three snapshots: what it listed, and held. */
    record Held(String list, Map<String, byte[]> contents) {}

    Held held(String disk) throws Exception {
        Map<String, byte[]> contents = new LinkedHashMap<>();
        for (int i = 1; i <= 3; i++) {
            contents.put(disk + "-" + i, content(world.path(disk), disk + "-" + i));
        }
        return new Held(list(world.path(disk)), contents);
    }

    /** QEMU finds the image sound, and the snapshots as they were. */
    void assertHolds(Path file, Held before) throws IOException {
        assertSound(file);
        assertThat(list(file)).isEqualTo(before.list);
        for (Map.Entry<String, byte[]> one : before.contents.entrySet()) {
            assertThat(Arrays.mismatch(content(file, one.getKey()), one.getValue()))
                    .as("snapshot %s", one.getKey())
                    .isEqualTo(-1);
        }
    }

    /** Of a disk that is closed. */
    static void assertSound(Path file) {
        assertThat(succeeds("qemu-img", "check", "-f", "qcow2", file))
                .contains("No errors were found")
                .doesNotContain("leaked");
    }

    /** Bytes that an image takes in its file system. */
    static long allocated(Path file) throws IOException {
        return Stacks.allocatedBytes(file);
    }

    /** A crash leaves clusters that nobody uses, and nothing worse. */
    static void forgetLeaks(Path file) {
        succeeds("qemu-img", "check", "-r", "leaks", "-f", "qcow2", file);
    }
}
