package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** Images of every format are made, converted, compared, checked, resized and served by themselves, without a daemon. */
@Timeout(180)
final class ImageToolsTest {
    @TempDir
    private Path directory;

    @Test
    void imagesAreConvertedComparedAndChecked() throws IOException {
        Path raw = Images.raw(directory.resolve("tools.raw"));
        String image = directory.resolve("tools.qcow2").toString();
        String back = directory.resolve("back.raw").toString();
        FerryHost.bare("image", "convert", raw.toString(), image, "--format", "qcow2", "--cluster-size", "4K")
                .done();
        Images.sound(Path.of(image));
        succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
        assertThat(FerryHost.bare("image", "compare", raw.toString(), image, "--format-b", "qcow2")
                        .done()
                        .out())
                .contains("equal");
        FerryHost.bare("image", "convert", image, back, "--format", "raw")
                .failed(2, "looks like qcow2", "--from-format");
        FerryHost.bare("image", "convert", image, back, "--from-format", "qcow2", "--format", "raw")
                .done();
        assertThat(Path.of(back)).hasSameBinaryContentAs(raw);
        FerryHost.bare("image", "convert", raw.toString(), back, "--format", "raw")
                .failed(1, "exists already");
        succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 1 3M 512", image);
        FerryHost.Result differs = FerryHost.bare("image", "compare", raw.toString(), image, "--format-b", "qcow2");
        assertThat(differs.status()).isEqualTo(1);
        assertThat(differs.out()).contains("differ", String.valueOf(3 << 20));
        JsonNode info = FerryHost.bare("image", "info", image, "--json").done().json();
        JsonNode theirs = new tools.jackson.databind.ObjectMapper()
                .readTree(succeeds("qemu-img", "info", "--output=json", "-f", "qcow2", image));
        for (String field : List.of("virtual-size", "format", "cluster-size", "actual-size", "dirty-flag")) {
            assertThat(info.path(field)).as(field).isEqualTo(theirs.path(field));
        }
        JsonNode map = FerryHost.bare("image", "map", image, "--format", "qcow2", "--json")
                .done()
                .json();
        assertThat(map.size()).isEqualTo(3);
        assertThat(map.get(1).path("zero").asBoolean()).isTrue();
        assertThat(map.get(1).path("start").asLong()).isEqualTo(Images.DATA_BYTES);
    }

    @Test
    void imagesAreCompressedAsTheyAreConverted() throws IOException {
        byte[] bytes = new byte[9 << 20];
        new Random(3).nextBytes(bytes);
        for (int i = 0; i < 5 << 20; i++) {
            bytes[i] = (byte) (i >> 12);
        }
        Path raw = Files.write(directory.resolve("compress.raw"), Arrays.copyOf(bytes, (12 << 20) + 512));
        for (String how : List.of("zlib", "zstd")) {
            String image = directory.resolve(how + ".qcow2").toString();
            FerryHost.bare("image", "convert", raw.toString(), image, "--format", "qcow2", "--compress", how)
                    .done();
            Images.sound(Path.of(image));
            succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
            assertThat(Files.size(Path.of(image))).isLessThan(5 << 20);
        }
        String no = directory.resolve("no.raw").toString();
        FerryHost.bare("image", "convert", raw.toString(), no, "--format", "raw", "--compress", "zlib")
                .failed(2, "qcow2");
        FerryHost.bare("image", "convert", raw.toString(), no, "--format", "qcow2", "--compress", "lzma")
                .failed(2, "zlib or zstd");
    }

    @Test
    void imagesAreResizedAndTheirSnapshotsKept() throws IOException {
        Path raw = Images.raw(directory.resolve("changed.raw"));
        String image = directory.resolve("changed.qcow2").toString();
        FerryHost.bare("image", "convert", raw.toString(), image, "--format", "qcow2")
                .done();
        FerryHost.bare("image", "snapshot", image, "--create", "before").done();
        FerryHost.bare("image", "resize", image, "20M", "--format", "qcow2").done();
        FerryHost.bare("image", "resize", image, "1M", "--format", "qcow2").failed(2, "--shrink");
        FerryHost.bare("image", "resize", image, "1M").failed(2, "looks like qcow2");
        FerryHost.bare("image", "resize", image, "1M", "--format", "qcow2", "--shrink")
                .done();
        Images.sound(Path.of(image));
        String then = directory.resolve("then.raw").toString();
        FerryHost.bare(
                        "image",
                        "convert",
                        image,
                        then,
                        "--from-format",
                        "qcow2",
                        "--snapshot",
                        "before",
                        "--format",
                        "raw")
                .done();
        assertThat(Path.of(then)).hasSameBinaryContentAs(raw);
        FerryHost.bare("image", "snapshot", image, "--apply", "before").done();
        succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
        JsonNode listed =
                FerryHost.bare("image", "snapshot", image, "--json").done().json();
        assertThat(listed.get(0).path("name").asString()).isEqualTo("before");
        assertThat(listed.get(0).path("disk-size").asLong()).isEqualTo(3 * Images.DATA_BYTES);
        FerryHost.bare("image", "snapshot", image, "--create", "before").failed(1, "already");
        FerryHost.bare("image", "snapshot", image, "--delete", "before").done();
        FerryHost.bare("image", "snapshot", image, "--delete", "before").failed(1, "no snapshot");
        FerryHost.bare("image", "snapshot", image, "--delete", "a", "--apply", "b")
                .failed(2, "--apply");
        Images.sound(Path.of(image));
        FerryHost.bare("image", "resize", then, "20M").done();
        assertThat(Files.size(Path.of(then))).isEqualTo(20 << 20);
    }

    @Test
    void disksAreWrittenAsVmdkVhdAndVhdx() throws IOException {
        Path raw = Images.raw(directory.resolve("out.raw"));
        for (String kind : List.of(
                "vmdk:monolithicSparse",
                "vmdk:monolithicFlat",
                "vmdk:streamOptimized",
                "vmdk:twoGbMaxExtentSparse",
                "vmdk:twoGbMaxExtentFlat",
                "vmdk:vmfs",
                "vhd:dynamic",
                "vhd:fixed",
                "vhdx:dynamic",
                "vhdx:fixed")) {
            String ours = kind.substring(0, kind.indexOf(':'));
            String subformat = kind.substring(kind.indexOf(':') + 1);
            String theirs = ours.equals("vhd") ? "vpc" : ours;
            String image = directory.resolve(subformat + "." + ours).toString();
            FerryHost.bare("image", "convert", raw.toString(), image, "--format", ours, "--subformat", subformat)
                    .done();
            if (!theirs.equals("vpc")) {
                succeeds("qemu-img", "check", "-f", theirs, image);
            }
            succeeds("qemu-img", "compare", "-f", "raw", "-F", theirs, raw, image);
            FerryHost.bare("image", "compare", raw.toString(), image, "--format-b", ours)
                    .done();
            FerryHost.bare("image", "convert", raw.toString(), image, "--format", ours)
                    .failed(1, "exists already");
        }
        assertThat(directory.resolve("monolithicFlat-flat.vmdk")).hasSameBinaryContentAs(raw);
        assertThat(directory.resolve("twoGbMaxExtentFlat-f001.vmdk")).hasSameBinaryContentAs(raw);
        String no = directory.resolve("no.vmdk").toString();
        FerryHost.bare("image", "convert", raw.toString(), no, "--format", "vmdk", "--subformat", "thick")
                .failed(2, "streamOptimized");
        FerryHost.bare("image", "convert", raw.toString(), no, "--format", "raw", "--subformat", "vmfs")
                .failed(2, "vmdk");
        FerryHost.bare("image", "create", no, "--format", "vmdk", "--subformat", "streamOptimized", "--size", "1M")
                .failed(2, "convert");
        assertThat(Path.of(no)).doesNotExist();
    }

    /** A server of one file that ends with its client. */
    private Process served(Path image, String format, Path socket) throws IOException {
        Path out = directory.resolve("served");
        List<String> command = Installation.command(
                Self.Part.DAEMON,
                List.of(
                        "nbd",
                        "serve",
                        image.toString(),
                        "--format",
                        format,
                        "--socket",
                        socket.toString(),
                        "--no-persistent"));
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(out.toFile())
                .start();
        FerryHost.until(() -> {
            try {
                return !process.isAlive() || Files.readString(out).contains("nbd");
            } catch (IOException failed) {
                throw new AssertionError(failed);
            }
        });
        assertThat(process.isAlive()).as(Files.readString(out)).isTrue();
        return process;
    }

    @Test
    void disksOfOtherHypervisorsAreMadeAndServedAndWrittenTo() throws Exception {
        for (String kind : List.of("vmdk:twoGbMaxExtentSparse", "vhd:dynamic", "vhdx:dynamic")) {
            String ours = kind.substring(0, kind.indexOf(':'));
            String theirs = ours.equals("vhd") ? "vpc" : ours;
            String subformat = kind.substring(kind.indexOf(':') + 1);
            Path image = directory.resolve("made-" + subformat + "." + ours);
            FerryHost.bare(
                            "image",
                            "create",
                            image.toString(),
                            "--format",
                            ours,
                            "--subformat",
                            subformat,
                            "--size",
                            "3000M")
                    .done();
            Path socket = directory.resolve("made.sock");
            Process server = served(image, ours, socket);
            try {
                succeeds(
                        "qemu-io",
                        "-f",
                        "raw",
                        "-c",
                        "write -P 31 1M 3M",
                        "-c",
                        "write -P 32 2046M 3M",
                        "-c",
                        "discard 2M 64k",
                        "-c",
                        "flush",
                        "nbd+unix:///?socket=" + socket);
                assertThat(server.waitFor(120, TimeUnit.SECONDS)).isTrue();
            } finally {
                server.destroyForcibly();
            }
            succeeds(
                    "qemu-io",
                    "-f",
                    theirs,
                    "-c",
                    "read -P 31 1M 1M",
                    "-c",
                    "read -P 0 2M 64k",
                    "-c",
                    "read -P 32 2046M 3M",
                    "-c",
                    "read -P 0 2999M 1M",
                    image);
            if (theirs.equals("vmdk")) {
                succeeds("qemu-img", "check", "-f", "vmdk", image);
            }
        }
    }

    @Test
    void oneShotServersServeQcow2() throws Exception {
        String image = directory.resolve("served.qcow2").toString();
        FerryHost.bare("image", "create", image, "--format", "qcow2", "--size", "32M")
                .done();
        Path socket = directory.resolve("served.sock");
        Process server = new ProcessBuilder(Installation.command(
                        Self.Part.DAEMON,
                        List.of("nbd", "serve", image, "--format", "qcow2", "--socket", socket.toString())))
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("served.log").toFile())
                .start();
        try {
            FerryHost.until(() -> Files.exists(socket));
            succeeds(
                    "qemu-io",
                    "-f",
                    "raw",
                    "-c",
                    "write -P 3 1M 2M",
                    "-c",
                    "read -P 3 1M 2M",
                    "nbd+unix:///?socket=" + socket);
        } finally {
            server.destroy();
            assertThat(server.waitFor()).isZero();
        }
        Images.sound(Path.of(image));
    }

    @Test
    void aBackingFileIsOpenedBesideItsOverlayAndNowhereElse() throws IOException {
        Path raw = Images.raw(directory.resolve("base.raw"));
        String overlay = directory.resolve("overlay.qcow2").toString();
        FerryHost.bare(
                        "image",
                        "create",
                        overlay,
                        "--format",
                        "qcow2",
                        "--backing",
                        "base.raw",
                        "--backing-format",
                        "raw")
                .done();
        FerryHost.bare("image", "compare", raw.toString(), overlay, "--format-b", "qcow2")
                .done();
        for (String name :
                List.of("/etc/hostname", "../../etc/hostname", "json:{}", "nbd://localhost/x", "overlay2.qcow2")) {
            Path hostile = directory.resolve("hostile.qcow2");
            succeeds("qemu-img", "create", "-u", "-f", "qcow2", "-b", name, "-F", "raw", hostile, "1M");
            FerryHost.bare("image", "info", hostile.toString()).done();
            FerryHost.bare("image", "map", hostile.toString(), "--format", "qcow2")
                    .failed(1, "that it names");
        }
        Path circle = directory.resolve("circle.qcow2");
        succeeds("qemu-img", "create", "-u", "-f", "qcow2", "-b", "circle.qcow2", "-F", "qcow2", circle, "1M");
        FerryHost.bare("image", "map", circle.toString(), "--format", "qcow2").failed(1, "circle");
        Path unsaid = directory.resolve("unsaid.qcow2");
        succeeds(
                "qemu-img",
                "create",
                "-u",
                "-f",
                "qcow2",
                "-o",
                "compat=0.10",
                "-b",
                "base.raw",
                "-F",
                "qed",
                unsaid,
                "1M");
        FerryHost.bare("image", "map", unsaid.toString(), "--format", "qcow2").failed(1, "not known");
    }

    @Test
    void aDataFileIsReadBesideItsImageAndNowhereElse() throws IOException {
        Path raw = Images.raw(directory.resolve("data.raw"));
        Path image = directory.resolve("data.qcow2");
        Path data = directory.resolve("its.data");
        succeeds("qemu-img", "create", "-f", "qcow2", "-o", "extended_l2=on,data_file=" + data, image, "12M");
        succeeds("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", raw, image);
        FerryHost.bare("image", "compare", raw.toString(), image.toString(), "--format-b", "qcow2")
                .done();
        JsonNode info = FerryHost.bare("image", "info", image.toString(), "--json")
                .done()
                .json()
                .path("format-specific")
                .path("data");
        assertThat(info.path("data-file").asString()).isEqualTo(data.toString());
        assertThat(info.path("extended-l2").asBoolean()).isTrue();
        Path folder = Files.createDirectory(directory.resolve("apart"));
        Files.move(image, folder.resolve("data.qcow2"));
        FerryHost.bare("image", "map", folder.resolve("data.qcow2").toString(), "--format", "qcow2")
                .failed(1, "not in its directory");
        FerryHost.bare("image", "info", folder.resolve("data.qcow2").toString()).done();
    }

    @Test
    void aRawDeviceMapIsReadFromTheDeviceThatTheOperatorMaps() throws IOException {
        Path raw = Images.raw(directory.resolve("device.raw"));
        Path map = Files.writeString(
                directory.resolve("rdm.vmdk"),
                "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
                        + "createType=\"vmfsPassthroughRawDeviceMap\"\nRW " + Files.size(raw) / 512
                        + " VMFSRDM \"rdm-rdmp.vmdk\"\n");
        Path target = directory.resolve("rdm.raw");
        FerryHost.bare(
                        "image",
                        "convert",
                        map.toString(),
                        target.toString(),
                        "--from-format",
                        "vmdk",
                        "--format",
                        "raw")
                .failed(1, "--map-device rdm-rdmp.vmdk=PATH");
        FerryHost.bare(
                        "image",
                        "convert",
                        map.toString(),
                        target.toString(),
                        "--from-format",
                        "vmdk",
                        "--format",
                        "raw",
                        "--map-device",
                        "rdm-rdmp.vmdk=" + raw)
                .done();
        assertThat(target).hasSameBinaryContentAs(raw);
    }
}
