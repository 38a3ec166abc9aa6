package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Seeds;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;

/** Overlays are committed into what is below them, by turns with qemu-img on the same files. */
@Timeout(180)
final class ImageCommitTest {
    private static final int SIZE = 3 << 20;
    private static final int UNIT = 512;

    @TempDir
    Path directory;

    private Path file(String name) {
        return directory.resolve(name);
    }

    private Path overlay(String name, String below, String format, String options, int size) {
        succeeds("qemu-img", "create", "-f", "qcow2", "-o", options, "-b", below, "-F", format, file(name), size);
        return file(name);
    }

    /** Random changes by QEMU to a disk and to the model of it. */
    private static byte[] scribble(Path image, String format, byte[] content, SplittableRandom random) {
        List<Object> commands = new ArrayList<>(List.of("-f", format));
        byte[] after = content.clone();
        for (int i = 0; i < 6; i++) {
            int at = random.nextInt(after.length / UNIT) * UNIT;
            int length = Math.min(after.length - at, UNIT * (1 + random.nextInt(700)));
            int pattern = random.nextInt(3) == 0 ? 0 : 1 + random.nextInt(250);
            commands.add("-c");
            String write = random.nextBoolean() ? "write -z " : "write -z -u ";
            commands.add(pattern == 0 ? write + at + " " + length : "write -P " + pattern + " " + at + " " + length);
            Arrays.fill(after, at, at + length, (byte) pattern);
        }
        commands.add(image);
        succeeds("qemu-io", commands.toArray());
        return after;
    }

    private void holds(Path image, String format, byte[] content) throws IOException {
        if (format.equals("qcow2")) {
            assertThat(succeeds("qemu-img", "check", "-f", "qcow2", image))
                    .contains("No errors were found")
                    .doesNotContain("leaked");
        }
        Path plain = file("plain.raw");
        succeeds("qemu-img", "convert", "-f", format, "-O", "raw", image, plain);
        assertThat(Arrays.mismatch(Files.readAllBytes(plain), content)).isEqualTo(-1);
        Path model = Files.write(file("model.raw"), content);
        FerryHost.bare("image", "compare", model.toString(), image.toString(), "--format-b", format)
                .done();
    }

    @Test
    void layersWithDataFiles() throws Exception {
        byte[] content = new byte[SIZE];
        Files.write(file("base"), content);
        String below = "base";
        for (String name : List.of("middle", "top")) {
            String format = below.equals("base") ? "raw" : "qcow2";
            FerryHost.bare(("image create " + file(name) + " --format qcow2 --backing " + below + " --backing-format "
                                    + format + " --data-file " + name + ".data")
                            .split(" "))
                    .done();
            content = scribble(file(name), "qcow2", content, new SplittableRandom(below.length()));
            below = name;
        }
        FerryHost.bare("image", "commit", file("top").toString(), "--to-base").done();
        holds(file("base"), "raw", content);
        holds(file("top"), "qcow2", content);
    }

    @ParameterizedTest
    @CsvSource({
        "raw,   compat=1.1,                          cluster_size=64k",
        "qcow2, cluster_size=4k,                     cluster_size=64k",
        "qcow2, cluster_size=64k,                    cluster_size=512",
        "qcow2, 'compat=0.10,cluster_size=64k',      'compat=0.10,cluster_size=4k'",
        "qcow2, 'cluster_size=2M,lazy_refcounts=on', 'cluster_size=64k,refcount_bits=1'",
    })
    void byTurnsWithQemu(String below, String belowOptions, String options) {
        Seeds.run(1, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            for (String name : List.of("base", "middle", "top")) {
                Files.deleteIfExists(file(name));
            }
            int baseSize = random.nextBoolean() ? SIZE : UNIT * (1 + random.nextInt(SIZE / UNIT));
            if (below.equals("raw")) {
                succeeds("qemu-img", "create", "-f", "raw", file("base"), baseSize);
            } else {
                succeeds("qemu-img", "create", "-f", "qcow2", "-o", belowOptions, file("base"), baseSize);
            }
            byte[] base = scribble(file("base"), below, new byte[baseSize], random);
            int anySize = random.nextBoolean() ? SIZE : UNIT * (1 + random.nextInt(SIZE / UNIT));
            // A shorter one of version 2 could not become longer again: the format cannot hide what is below.
            int middleSize = options.contains("compat=0.10") ? Math.max(baseSize, anySize) : anySize;
            overlay("middle", "base", below, options, middleSize);
            byte[] middle = scribble(file("middle"), "qcow2", Arrays.copyOf(base, middleSize), random);
            overlay("top", "middle", "qcow2", options, SIZE);
            byte[] top = scribble(file("top"), "qcow2", Arrays.copyOf(middle, SIZE), random);
            holds(file("top"), "qcow2", top);
            if (random.nextBoolean()) {
                // Into the lowest at once: the others hide it, and stay.
                FerryHost.bare("image", "commit", file("top").toString(), "--to-base")
                        .done();
                holds(file("top"), "qcow2", top);
                byte[] whole = Arrays.copyOf(base, Math.max(baseSize, SIZE));
                System.arraycopy(top, 0, whole, 0, SIZE);
                holds(file("base"), below, whole);
                return;
            }
            // QEMU's overlay over a longer middle: what is behind the end of the top stays.
            FerryHost.bare("image", "commit", file("top").toString()).done();
            holds(file("top"), "qcow2", top);
            holds(file("middle"), "qcow2", top);
            byte[] again = scribble(file("top"), "qcow2", top, random);
            succeeds("qemu-img", "commit", "-q", "-f", "qcow2", file("top"));
            holds(file("middle"), "qcow2", again);
            FerryHost.bare("image", "commit", file("middle").toString()).done();
            holds(file("base"), below, again);
            holds(file("middle"), "qcow2", again);
            holds(file("top"), "qcow2", again);
        });
    }

    @Test
    void itSaysWhatItDidAndTheChainAndItsSharersAreTold() throws IOException {
        Path base = Files.write(file("base.raw"), new byte[1 << 20]);
        overlay("day.qcow2", "base.raw", "raw", "compat=1.1", 2 << 20);
        succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 5 64k 192k", file("day.qcow2"));
        JsonNode chain = FerryHost.bare("image", "info", file("day.qcow2").toString(), "--chain", "--json")
                .done()
                .json();
        assertThat(chain.size()).isEqualTo(2);
        assertThat(chain.get(0).path("virtual-size").asLong()).isEqualTo(2 << 20);
        assertThat(chain.get(1).path("filename").asString())
                .isEqualTo(base.toRealPath().toString());
        assertThat(chain.get(1).path("shared-by").isEmpty()).isTrue();
        JsonNode theirs = new tools.jackson.databind.ObjectMapper()
                .readTree(succeeds(
                        "qemu-img", "info", "--backing-chain", "--output=json", "-f", "qcow2", file("day.qcow2")));
        for (int i = 0; i < 2; i++) {
            for (String field : List.of("virtual-size", "format", "actual-size")) {
                assertThat(chain.get(i).path(field))
                        .as(field)
                        .isEqualTo(theirs.get(i).path(field));
            }
        }
        overlay("other.qcow2", "base.raw", "raw", "compat=1.1", 1 << 20);
        assertThat(FerryHost.bare("image", "info", file("day.qcow2").toString(), "--chain")
                        .done()
                        .out())
                .contains("other.qcow2")
                .contains("base.raw");
        byte[] before = Files.readAllBytes(base);
        FerryHost.bare("image", "commit", file("day.qcow2").toString())
                .failed(1, "base.raw is the backing file of", "other.qcow2", "another then");
        assertThat(Files.readAllBytes(base)).isEqualTo(before);
        Files.delete(file("other.qcow2"));
        JsonNode done = FerryHost.bare("image", "commit", file("day.qcow2").toString(), "--keep", "--json")
                .done()
                .json();
        assertThat(done.path("base-grown").asBoolean()).isTrue();
        assertThat(done.path("emptied").asBoolean()).isFalse();
        byte[] want = new byte[2 << 20];
        Arrays.fill(want, 64 << 10, 256 << 10, (byte) 5);
        holds(base, "raw", want);
        assertThat(FerryHost.bare("image", "commit", file("day.qcow2").toString())
                        .done()
                        .out())
                .contains("is empty now");
        assertThat(succeeds("qemu-img", "map", "-f", "qcow2", file("day.qcow2")))
                .doesNotContain("day.qcow2");
        holds(file("day.qcow2"), "qcow2", want);
    }

    @Test
    void whatCannotBeIsRefusedInOneLine() throws IOException {
        succeeds("qemu-img", "create", "-f", "qcow2", file("alone.qcow2"), "1M");
        FerryHost.bare("image", "commit", file("alone.qcow2").toString()).failed(1, "it has no backing file");
        Files.write(file("raw"), new byte[1 << 20]);
        FerryHost.bare("image", "commit", file("raw").toString()).failed(1, "not a qcow2 file");
        overlay("over.qcow2", "raw", "raw", "compat=1.1", 1 << 20);
        FerryHost.bare("image", "commit", file("over.qcow2").toString(), "--base", "elsewhere")
                .failed(2, "none of the files below");
        FerryHost.bare("image", "commit", file("over.qcow2").toString(), "--base", "raw", "--to-base")
                .failed(2, "--to-base");
        Files.setPosixFilePermissions(file("raw"), PosixFilePermissions.fromString("r--r--r--"));
        if (!Files.isWritable(file("raw"))) {
            FerryHost.bare("image", "commit", file("over.qcow2").toString()).failed(1, "raw");
        }
    }
}
