package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

/** Deltas over parents, in formats that are not qcow2: made, served, moved while they are in use, shown, refused. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(180)
final class DeltasTest {
    private static final int MIB = 1 << 20;
    private static final List<String> FORMATS = List.of("vmdk", "vhd", "vhdx");

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

    private Path file(String datastore, String name) {
        return host.directory.resolve(datastore).resolve(name);
    }

    private static byte[] content() {
        byte[] content = new byte[12 * MIB];
        new Random(5).nextBytes(content);
        Arrays.fill(content, 4 * MIB, 8 * MIB, (byte) 0);
        return content;
    }

    /** A disk of some bytes, in a file. */
    private static Path made(Path file, String format, String... options) throws IOException {
        Path raw = Files.write(file.resolveSibling(file.getFileName() + ".raw"), content());
        List<String> convert =
                new ArrayList<>(List.of("image", "convert", raw.toString(), file.toString(), "--format", format));
        convert.addAll(List.of(options));
        FerryHost.bare(convert.toArray(String[]::new)).done();
        Files.delete(raw);
        return file;
    }

    private Path expected(byte[] content) throws IOException {
        return Files.write(host.directory.resolve("expected.raw"), content);
    }

    @ParameterizedTest
    @ValueSource(strings = {"vmdk", "vhd", "vhdx"})
    void aDiskOverAParentIsWrittenAndMovedWhileItIsInUse(String format) throws IOException {
        Path base = made(file("fast", "base." + format), format);
        byte[] before = Files.readAllBytes(base);
        String name = "over-" + format;
        host.run(
                        "disk",
                        "create",
                        name,
                        "--datastore",
                        "fast",
                        "--backing",
                        base.getFileName().toString(),
                        "--backing-format",
                        format,
                        "--format",
                        format)
                .done();
        JsonNode chain = host.run("disk", "show", name, "--json").done().json().path("chain");
        assertThat(chain.size()).isEqualTo(2);
        assertThat(chain.get(1).path("path").asString()).isEqualTo(base.toString());
        assertThat(chain.get(1).path("format").asString()).isEqualTo(format);
        String uri = host.run("disk", "attach", name).done().out().strip();
        byte[] content = content();
        Arrays.fill(content, MIB, 4 * MIB, (byte) 17);
        Arrays.fill(content, 9 * MIB, 9 * MIB + (100 << 10), (byte) 18);
        Arrays.fill(content, 2 * MIB, 2 * MIB + (512 << 10), (byte) 0);
        Arrays.fill(content, 10 * MIB + 512, 10 * MIB + 700 * 512, (byte) 0);
        Stranger.succeeds(
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "write -P 17 1M 3M",
                "-c",
                "write -P 18 9M 100k",
                "-c",
                "discard 2M 512k",
                "-c",
                "discard 10486272 357888",
                uri);
        Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", "raw", expected(content), uri);
        host.run("migrate", name, "--to", "slow", "--format", "qcow2").done();
        Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", "raw", expected(content), uri);
        chain = host.run("disk", "show", name, "--json").done().json().path("chain");
        assertThat(chain.size()).isEqualTo(1);
        host.run("disk", "detach", name).done();
        assertThat(Files.readAllBytes(base)).isEqualTo(before);
    }

    /** The lower file is in two where its format has that; a name of it is taken at the target. */
    @ParameterizedTest
    @ValueSource(strings = {"vmdk", "vhd", "vhdx"})
    void aChainMovesAsAChainWhileItIsInUse(String format) throws IOException {
        String low = "low." + format;
        String high = "high." + format;
        if (format.equals("vmdk")) {
            made(file("fast", low), format, "--subformat", "monolithicFlat");
        } else {
            made(file("fast", low), format);
        }
        FerryHost.bare("image", "create", file("fast", high).toString(), "--format", format, "--backing", low)
                .done();
        Files.writeString(file("slow", low), "another file of that name");
        String name = "chain-" + format;
        host.run(
                        "disk",
                        "create",
                        name,
                        "--datastore",
                        "fast",
                        "--backing",
                        high,
                        "--backing-format",
                        format,
                        "--format",
                        format)
                .done();
        String uri = host.run("disk", "attach", name).done().out().strip();
        byte[] content = content();
        Arrays.fill(content, MIB, 5 * MIB, (byte) 31);
        Stranger.succeeds("qemu-io", "-f", "raw", "-c", "write -P 31 1M 4M", uri);
        host.run("migrate", name, "--to", "slow", "--with-snapshots", "--rate", "2M", "--detach")
                .done();
        Arrays.fill(content, 9 * MIB, 10 * MIB, (byte) 32);
        Stranger.succeeds("qemu-io", "-f", "raw", "-c", "write -P 32 9M 1M", uri);
        FerryHost.until(() -> host.run("disk", "show", name, "--json")
                .done()
                .json()
                .path("state")
                .asString()
                .equals("attached"));
        Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", "raw", expected(content), uri);
        JsonNode chain = host.run("disk", "show", name, "--json").done().json().path("chain");
        assertThat(chain.size()).isEqualTo(3);
        assertThat(chain.get(1).path("path").asString())
                .isEqualTo(file("slow", high).toString());
        assertThat(chain.get(2).path("path").asString())
                .isEqualTo(file("slow", "low-2." + format).toString());
        assertThat(file("fast", low)).doesNotExist();
        assertThat(file("fast", "low-flat.vmdk")).doesNotExist();
        host.run("disk", "detach", name).done();
        Path moved = file("slow", name + "." + format);
        FerryHost.bare("image", "check", moved.toString(), "--format", format).done();
        FerryHost.bare("image", "compare", expected(content).toString(), moved.toString(), "--format-b", format)
                .done();
        if (format.equals("vmdk")) {
            Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", format, expected(content), moved);
        }
    }

    @Test
    void theFilesOfADiskAreRemovedWithIt() throws IOException {
        host.run("disk", "create", "flat", "--datastore", "fast", "--size", "12M", "--format", "vmdk")
                .done();
        Files.delete(file("fast", "flat.vmdk"));
        made(file("fast", "flat.vmdk"), "vmdk", "--subformat", "monolithicFlat");
        assertThat(file("fast", "flat-flat.vmdk")).exists();
        host.run("disk", "rm", "flat").done();
        assertThat(file("fast", "flat.vmdk")).doesNotExist();
        assertThat(file("fast", "flat-flat.vmdk")).doesNotExist();
    }

    @Test
    void whatWasAcknowledgedOutlivesADaemonThatIsKilled() throws IOException {
        List<String> uris = new ArrayList<>();
        for (String format : FORMATS) {
            made(file("fast", "under-killed." + format), format);
            String name = "killed-" + format;
            host.run(
                            "disk",
                            "create",
                            name,
                            "--datastore",
                            "fast",
                            "--backing",
                            "under-killed." + format,
                            "--backing-format",
                            format,
                            "--format",
                            format)
                    .done();
            String uri = host.run("disk", "attach", name).done().out().strip();
            Stranger.succeeds(
                    "qemu-io", "-f", "raw", "-t", "unsafe", "-c", "write -P 23 1M 4M", "-c", "discard 9M 1M", uri);
            uris.add(uri);
        }
        host.killDaemon();
        FerryHost.until(() -> host.run("disk", "ls").status() == 0);
        byte[] content = content();
        Arrays.fill(content, MIB, 5 * MIB, (byte) 23);
        Arrays.fill(content, 9 * MIB, 10 * MIB, (byte) 0);
        for (String uri : uris) {
            Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", "raw", expected(content), uri);
        }
        for (String format : FORMATS) {
            host.run("disk", "detach", "killed-" + format).done();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"vmdk", "vhd", "vhdx"})
    void aChainIsMadeAndToldOf(String format) throws IOException {
        Path folder = Files.createDirectory(host.directory.resolve("chain-" + format));
        Path base = made(folder.resolve("base"), format);
        Path one = folder.resolve("one");
        Path two = folder.resolve("two");
        Path other = folder.resolve("other");
        for (List<Path> pair : List.of(List.of(one, base), List.of(two, one), List.of(other, base))) {
            String below = pair.getLast().getFileName().toString();
            FerryHost.bare("image", "create", pair.getFirst().toString(), "--format", format, "--backing", below)
                    .done();
        }
        JsonNode layers = FerryHost.bare("image", "info", two.toString(), "--format", format, "--chain", "--json")
                .done()
                .json();
        assertThat(layers.size()).isEqualTo(3);
        assertThat(layers.get(0).path("backing-filename").asString()).isEqualTo("one");
        assertThat(layers.get(2).path("filename").asString()).isEqualTo(base.toString());
        assertThat(layers.get(2).path("virtual-size").asLong()).isEqualTo(12 * MIB);
        assertThat(layers.get(2).path("shared-by").get(0).asString()).isEqualTo(other.toString());
        Path raw = Files.write(folder.resolve("raw"), content());
        FerryHost.bare("image", "compare", raw.toString(), two.toString(), "--format-b", format)
                .done();
        FerryHost.bare("image", "check", two.toString(), "--format", format).done();
        String three = folder.resolve("three").toString();
        FerryHost.bare("image", "create", three, "--format", format, "--backing", "two", "--size", "13M")
                .failed(2, "size of its parent");
        FerryHost.bare("image", "create", three, "--format", format, "--backing", "two", "--backing-format", "raw")
                .failed(2, "lies over a " + format + " disk");
        FerryHost.bare("image", "create", three, "--format", format, "--backing", "absent")
                .failed(1, "is not there");
        FerryHost.bare("image", "create", three, "--format", format, "--backing", "../fast/base")
                .failed(1, "in the directory of its parent");
        FerryHost.bare("image", "create", three, "--format", format, "--backing", "raw")
                .failed(1, "it is not a");
        assertThat(Path.of(three)).doesNotExist();
    }

    @Test
    void aVmdkDeltaInSeveralFilesIsServedOverItsParent() throws IOException {
        Path folder = Files.createDirectory(host.directory.resolve("several"));
        made(folder.resolve("base.vmdk"), "vmdk", "--subformat", "twoGbMaxExtentSparse");
        Path delta = folder.resolve("delta.vmdk");
        FerryHost.bare(
                        "image",
                        "create",
                        delta.toString(),
                        "--format",
                        "vmdk",
                        "--subformat",
                        "twoGbMaxExtentSparse",
                        "--backing",
                        "base.vmdk")
                .done();
        FerryHost.bare(
                        "image",
                        "create",
                        folder.resolve("no.vmdk").toString(),
                        "--format",
                        "vmdk",
                        "--subformat",
                        "monolithicFlat",
                        "--backing",
                        "base.vmdk")
                .failed(2, "twoGbMaxExtentSparse");
        byte[] content = content();
        Arrays.fill(content, 5 * MIB, 5 * MIB + 512, (byte) 9);
        Stranger.succeeds("qemu-io", "-f", "vmdk", "-c", "write -P 9 5M 512", delta);
        FerryHost.bare("image", "compare", expected(content).toString(), delta.toString(), "--format-b", "vmdk")
                .done();
        Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", "vmdk", expected(content), delta);
    }

    @Test
    void whatIsCommittedOrStreamedIsQcow2() throws IOException {
        made(file("fast", "below.vmdk"), "vmdk");
        host.run(
                        "disk",
                        "create",
                        "stays",
                        "--datastore",
                        "fast",
                        "--backing",
                        "below.vmdk",
                        "--backing-format",
                        "vmdk",
                        "--format",
                        "vmdk")
                .done();
        host.run("disk", "stream", "stays").failed(1, "a move makes one disk of it");
        host.run("disk", "commit", "stays").failed(1, "qcow2 is committed");
        for (String format : List.of("vhd", "raw")) {
            host.run(
                            "disk",
                            "create",
                            "no",
                            "--datastore",
                            "fast",
                            "--backing",
                            "below.vmdk",
                            "--backing-format",
                            "vmdk",
                            "--format",
                            format)
                    .failed(2, "qcow2 or vmdk");
        }
    }

    @Test
    void aRawDeviceMapIsImportedFromTheDeviceThatItStandsFor() throws IOException {
        Path device = Files.write(host.directory.resolve("device"), content());
        String map = Files.writeString(
                        host.directory.resolve("rdm.vmdk"),
                        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfsRawDeviceMap\"\n"
                                + "RW " + content().length / 512 + " VMFSRDM \"rdm-rdm.vmdk\"\n")
                .toString();
        host.run("disk", "import", "mapped", "--datastore", "fast", "--from", map, "--from-format", "vmdk")
                .failed(1, "--map-device");
        host.run(
                        "disk",
                        "import",
                        "mapped",
                        "--datastore",
                        "fast",
                        "--from",
                        map,
                        "--from-format",
                        "vmdk",
                        "--map-device",
                        "rdm-rdm.vmdk=" + device)
                .done();
        assertThat(file("fast", "mapped.raw")).hasSameBinaryContentAs(device);
    }

    /** What QEMU calls vpc is VHD. */
    @Test
    void aQcow2OverlayLiesOverAVhdUnderTheNameThatQemuHasForIt() throws IOException {
        made(file("fast", "below.vhd"), "vhd");
        Path theirs = file("fast", "theirs.qcow2");
        Stranger.succeeds("qemu-img", "create", "-f", "qcow2", "-b", "below.vhd", "-F", "vpc", theirs);
        Path ours = file("fast", "ours.qcow2");
        FerryHost.bare(
                        "image",
                        "create",
                        ours.toString(),
                        "--format",
                        "qcow2",
                        "--backing",
                        "below.vhd",
                        "--backing-format",
                        "vpc")
                .done();
        for (Path overlay : List.of(theirs, ours)) {
            Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", expected(content()), overlay);
            FerryHost.bare(
                            "image",
                            "compare",
                            expected(content()).toString(),
                            overlay.toString(),
                            "--format-b",
                            "qcow2")
                    .done();
        }
        host.run("disk", "create", "mixed", "--datastore", "fast", "--backing", "below.vhd", "--backing-format", "vhd")
                .done();
        Stranger.succeeds(
                "qemu-img", "compare", "-f", "raw", "-F", "qcow2", expected(content()), file("fast", "mixed.qcow2"));
        FerryHost.bare("image", "check", file("fast", "below.vhd").toString(), "--format", "vpc")
                .done();
    }
}
