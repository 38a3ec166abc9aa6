package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/** qcow2 images of the rarer kinds are made, changed, checked, served and moved like any other. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(180)
final class Qcow2VariantsTest {
    private static final String SIZE = "12582912";

    private final FerryHost host = start();

    private static FerryHost start() {
        try {
            return FerryHost.started();
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }

    @AfterAll
    void stop() throws IOException {
        host.close();
    }

    private Path file(String name) {
        return host.directory.resolve(name);
    }

    private Path raw(String name) throws IOException {
        byte[] bytes = new byte[Integer.parseInt(SIZE)];
        new Random(7).nextBytes(bytes);
        for (int i = 0; i < bytes.length / 2; i++) {
            bytes[i] = i < 3 << 20 ? (byte) (i >> 12) : 0;
        }
        return Files.write(file(name), bytes);
    }

    private static JsonNode told(Path image) {
        return FerryHost.bare("image", "info", image.toString(), "--json")
                .done()
                .json();
    }

    private static void converted(Path from, Path to, String... options) {
        List<String> command =
                new ArrayList<>(List.of("image", "convert", from.toString(), to.toString(), "--format", "qcow2"));
        command.addAll(List.of(options));
        FerryHost.bare(command.toArray(String[]::new)).done();
    }

    @Test
    void imagesWithSubclustersAreMadeAndChanged() throws Exception {
        Path raw = raw("sub.raw");
        Path image = file("sub.qcow2");
        converted(raw, image, "--extended-l2");
        Images.sound(image);
        assertThat(told(image)
                        .path("format-specific")
                        .path("data")
                        .path("extended-l2")
                        .asBoolean())
                .isTrue();
        assertThat(told(image).path("cluster-size").asLong()).isEqualTo(128 << 10);
        succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
        FerryHost.bare("image", "snapshot", image.toString(), "--create", "one").done();
        FerryHost.bare("image", "resize", image.toString(), "5000K", "--format", "qcow2", "--shrink")
                .done();
        Images.sound(image);
        FerryHost.bare("image", "snapshot", image.toString(), "--apply", "one").done();
        Images.sound(image);
        succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
        Path packed = file("packed.qcow2");
        converted(raw, packed, "--extended-l2", "--cluster-size", "32K", "--compress", "zlib");
        Images.sound(packed);
        succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, packed);
        FerryHost.bare(
                        "image",
                        "compare",
                        packed.toString(),
                        image.toString(),
                        "--format",
                        "qcow2",
                        "--format-b",
                        "qcow2")
                .done();
        Path no = file("no.qcow2");
        create(no, "qcow2", "--extended-l2", "--cluster-size", "8K").failed(2, "16 KiB");
        create(no, "qcow2", "--extended-l2", "--qcow2-version", "2").failed(2, "version 3");
        create(no, "raw", "--extended-l2").failed(2, "--extended-l2");
    }

    @Test
    void imagesWithDataFilesAreMadeAndChanged() throws Exception {
        Path raw = raw("apart.raw");
        for (String kind : List.of("plain", "raw")) {
            Path image = file(kind + ".qcow2");
            Path data = file(kind + ".data");
            String[] options = kind.equals("raw")
                    ? new String[] {"--data-file", "raw.data", "--data-file-raw"}
                    : new String[] {"--data-file", "plain.data"};
            converted(raw, image, options);
            Images.sound(image);
            JsonNode told = told(image).path("format-specific").path("data");
            assertThat(told.path("data-file").asString()).isEqualTo(data.toString());
            assertThat(told.path("data-file-raw").asBoolean()).isEqualTo(kind.equals("raw"));
            succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
            FerryHost.bare("image", "resize", image.toString(), "20M", "--format", "qcow2")
                    .done();
            FerryHost.bare("image", "resize", image.toString(), SIZE, "--format", "qcow2", "--shrink")
                    .done();
            Images.sound(image);
            FerryHost.bare("image", "compare", image.toString(), raw.toString(), "--format", "qcow2")
                    .done();
            assertThat(Files.size(data)).isEqualTo(Integer.parseInt(SIZE));
        }
        assertThat(file("raw.data")).hasSameBinaryContentAs(raw);
        FerryHost.bare("image", "snapshot", file("raw.qcow2").toString(), "--create", "one")
                .failed(1, "data file");
    }

    private static FerryHost.Result create(Path image, String format, String... options) {
        List<String> command =
                new ArrayList<>(List.of("image", "create", image.toString(), "--format", format, "--size", "1M"));
        command.addAll(List.of(options));
        return FerryHost.bare(command.toArray(String[]::new));
    }

    @Test
    void aDataFileThatCannotBeOneIsRefused() throws Exception {
        Path image = file("refused.qcow2");
        create(image, "qcow2", "--data-file", "../x").failed(2, "no path");
        create(image, "qcow2", "--data-file-raw").failed(2, "--data-file");
        create(image, "raw", "--data-file", "x").failed(2, "--data-file");
        Path there = Files.write(file("there.data"), new byte[] {1});
        create(image, "qcow2", "--data-file", "there.data").failed(1, "exists already");
        assertThat(image).doesNotExist();
        FerryHost.bare("image", "measure", "--size", "1M", "--format", "qcow2", "--data-file", "x")
                .failed(2, "--data-file");
        FerryHost.bare(
                        "image",
                        "convert",
                        there.toString(),
                        image.toString(),
                        "--format",
                        "qcow2",
                        "--compress",
                        "zlib",
                        "--data-file",
                        "x")
                .failed(2, "not compressed");
    }

    @Test
    void aDataFileThatIsNotWhereItMayBeIsNotOpened() throws Exception {
        Path folder = Files.createDirectory(file("inner"));
        Path image = folder.resolve("image.qcow2");
        Path data = folder.resolve("its.data");
        create(image, "qcow2", "--data-file", "its.data").done();
        Files.delete(data);
        String[] map = {"image", "map", image.toString(), "--format", "qcow2"};
        FerryHost.bare(map).failed(1, "is not there");
        FerryHost.bare("image", "info", image.toString()).done();
        Files.createSymbolicLink(data, image);
        FerryHost.bare(map).failed(1, "cannot hold its data");
        Files.delete(data);
        Files.createSymbolicLink(data, Files.write(file("elsewhere"), new byte[1 << 20]));
        FerryHost.bare(map).failed(1, "not in its directory");
    }

    @Test
    void aDiskWithADataFileIsServedAndMoves() throws Exception {
        host.run("disk", "create", "apart", "--datastore", "fast", "--size", SIZE, "--format", "qcow2")
                .done();
        Path image = host.directory.resolve("fast").resolve("apart.qcow2");
        Files.delete(image);
        FerryHost.bare(
                        "image",
                        "create",
                        image.toString(),
                        "--format",
                        "qcow2",
                        "--size",
                        SIZE,
                        "--data-file",
                        "apart.data",
                        "--data-file-raw")
                .done();
        servedAndMoved("apart", image);
    }

    private void servedAndMoved(String disk, Path image) throws Exception {
        String uri = host.run("disk", "attach", disk).done().out().strip();
        succeeds(
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "write -P 17 1M 5000k",
                "-c",
                "discard 2M 12k",
                "-c",
                "write -P 18 2M 4k",
                uri);
        host.run("migrate", disk, "--to", "slow", "--format", "raw").done();
        succeeds(
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "read -P 17 1M 1M",
                "-c",
                "read -P 18 2M 4k",
                "-c",
                "read -P 0 2052k 8k",
                uri);
        host.run("disk", "detach", disk).done();
        assertThat(image).doesNotExist();
    }

    @Test
    void aDiskWithSubclustersIsServedAndMoves() throws Exception {
        host.run("disk", "create", "parts", "--datastore", "fast", "--size", SIZE, "--format", "qcow2")
                .done();
        Path image = host.directory.resolve("fast").resolve("parts.qcow2");
        Path made = file("made.qcow2");
        FerryHost.bare("image", "create", made.toString(), "--format", "qcow2", "--size", SIZE, "--extended-l2")
                .done();
        Files.move(made, image, StandardCopyOption.REPLACE_EXISTING);
        servedAndMoved("parts", image);
    }
}
