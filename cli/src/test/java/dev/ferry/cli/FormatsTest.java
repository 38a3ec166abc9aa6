package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Requires;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/** Disks in format qcow2: made, imported, served, moved from and to raw while they are in use; and the image tools. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(180)
final class FormatsTest {
    private static final int DATA_BYTES = 4 << 20;

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

    private static String stranger(String program, Object... arguments) {
        List<String> command = new ArrayList<>(List.of(Requires.program(program).toString()));
        for (Object argument : arguments) {
            command.add(argument.toString());
        }
        try {
            Process process =
                    new ProcessBuilder(command).redirectErrorStream(true).start();
            process.getOutputStream().close();
            String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertThat(process.waitFor()).as(said).isZero();
            return said;
        } catch (IOException | InterruptedException failed) {
            throw new AssertionError(failed);
        }
    }

    private Path raw(String name) throws IOException {
        byte[] bytes = new byte[3 * DATA_BYTES];
        new Random(name.hashCode()).nextBytes(bytes);
        Arrays.fill(bytes, DATA_BYTES, 2 * DATA_BYTES, (byte) 0);
        return Files.write(host.directory.resolve(name), bytes);
    }

    private Path file(String datastore, String name) {
        return host.directory.resolve(datastore).resolve(name);
    }

    private void sound(Path image) {
        stranger("qemu-img", "check", "-f", "qcow2", image);
        FerryHost.bare("image", "check", image.toString()).done();
    }

    @Test
    void aDiskMovesFromQcow2ToRawAndBackWhileItIsAttached() throws IOException {
        host.run("disk", "create", "both", "--datastore", "fast", "--size", "64M", "--format", "qcow2")
                .done();
        String uri = host.run("disk", "attach", "both").done().out().strip();
        stranger(
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "write -P 17 1M 5M",
                "-c",
                "write -P 18 40M 64k",
                "-c",
                "discard 2M 1M",
                uri);
        host.run("migrate", "both", "--to", "slow", "--format", "raw").done();
        assertThat(file("fast", "both.qcow2")).doesNotExist();
        assertThat(Files.size(file("slow", "both.raw"))).isEqualTo(64 << 20);
        stranger("qemu-io", "-f", "raw", "-c", "write -P 19 50M 64k", "-c", "read -P 17 1M 1M", uri);
        host.run("migrate", "both", "--to", "fast", "--format", "qcow2").done();
        JsonNode shown = host.run("disk", "show", "both", "--json").done().json();
        assertThat(shown.path("format").asString()).isEqualTo("qcow2");
        assertThat(shown.path("allocatedBytes").asLong()).isLessThan(6 << 20);
        stranger(
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "read -P 17 1M 1M",
                "-c",
                "read -P 0 2M 1M",
                "-c",
                "read -P 17 3M 3M",
                "-c",
                "read -P 18 40M 64k",
                "-c",
                "read -P 19 50M 64k",
                uri);
        host.run("disk", "detach", "both").done();
        sound(file("fast", "both.qcow2"));
    }

    @Test
    void whatWasAcknowledgedOutlivesADaemonThatIsKilled() {
        List<String> formats = List.of("qcow2", "vmdk", "vhd", "vhdx");
        List<String> uris = new ArrayList<>();
        for (String format : formats) {
            String name = "killed" + format;
            host.run("disk", "create", name, "--datastore", "fast", "--size", "64M", "--format", format)
                    .done();
            String uri = host.run("disk", "attach", name).done().out().strip();
            stranger("qemu-io", "-f", "raw", "-t", "unsafe", "-c", "write -P 23 1M 9M", uri);
            uris.add(uri);
        }
        host.killDaemon();
        FerryHost.until(() -> host.run("disk", "ls").status() == 0);
        for (String uri : uris) {
            stranger("qemu-io", "-f", "raw", "-c", "read -P 23 1M 9M", "-c", "read -P 0 10M 54M", uri);
        }
        for (String format : formats) {
            host.run("disk", "detach", "killed" + format).done();
        }
        FerryHost.bare("image", "check", file("fast", "killedqcow2.qcow2").toString(), "--repair", "leaks")
                .done();
        sound(file("fast", "killedqcow2.qcow2"));
        stranger("qemu-img", "check", "-f", "vmdk", file("fast", "killedvmdk.vmdk"));
    }

    @Test
    void anImageIsImportedAsWhatItIsSaidToBe() throws IOException {
        Path raw = raw("import.raw");
        Path image = host.directory.resolve("import.qcow2");
        stranger("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, image);
        host.run("disk", "import", "said", "--datastore", "slow", "--from", image.toString(), "--format", "qcow2")
                .done();
        stranger("qemu-img", "compare", "-f", "qcow2", "-F", "raw", file("slow", "said.qcow2"), raw);
        host.run("disk", "import", "asked", "--datastore", "slow", "--from", image.toString(), "--format", "auto")
                .done();
        assertThat(file("slow", "asked.qcow2")).exists();
        host.run("disk", "import", "unasked", "--datastore", "slow", "--from", image.toString())
                .done();
        assertThat(file("slow", "unasked.raw")).hasSameBinaryContentAs(image);
    }

    @Test
    void disksOfOtherHypervisorsAreImportedAndConverted() throws IOException {
        Path raw = raw("foreign.raw");
        for (String kind : List.of(
                "vmdk:twoGbMaxExtentSparse", "vmdk:streamOptimized", "vpc:dynamic,force_size=on", "vhdx:dynamic")) {
            String theirs = kind.substring(0, kind.indexOf(':'));
            String ours = theirs.equals("vpc") ? "vhd" : theirs;
            String name = "f" + Integer.toHexString(kind.hashCode());
            Path image = host.directory.resolve(name + "." + ours);
            stranger(
                    "qemu-img",
                    "convert",
                    "-f",
                    "raw",
                    "-O",
                    theirs,
                    "-o",
                    "subformat=" + kind.substring(kind.indexOf(':') + 1),
                    raw,
                    image);
            FerryHost.bare("image", "compare", image.toString(), raw.toString(), "--format", ours)
                    .done();
            String converted = host.directory.resolve(name + ".qcow2").toString();
            FerryHost.bare("image", "convert", image.toString(), converted, "--from-format", ours, "--format", "qcow2")
                    .done();
            stranger("qemu-img", "compare", "-f", "qcow2", "-F", "raw", converted, raw);
            assertThat(FerryHost.bare("image", "info", image.toString(), "--json")
                            .done()
                            .json()
                            .path("format")
                            .asString())
                    .isEqualTo(ours);
            host.run("disk", "import", name, "--datastore", "slow", "--from", image.toString(), "--format", "auto")
                    .done();
            assertThat(file("slow", name + ".raw")).hasSameBinaryContentAs(raw);
        }
        host.run("disk", "create", "no", "--datastore", "slow", "--size", "1M", "--format", "qed")
                .failed(2, "qed", "vhdx");
        FerryHost.bare(
                        "image",
                        "create",
                        host.directory.resolve("no.qed").toString(),
                        "--format",
                        "qed",
                        "--size",
                        "1M")
                .failed(2, "qed", "raw, qcow2");
    }

    @Test
    void aRawDeviceMapIsReadFromTheDeviceThatTheOperatorMaps() throws IOException {
        Path raw = raw("device.raw");
        Path map = Files.writeString(
                host.directory.resolve("rdm.vmdk"),
                "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
                        + "createType=\"vmfsPassthroughRawDeviceMap\"\nRW " + Files.size(raw) / 512
                        + " VMFSRDM \"rdm-rdmp.vmdk\"\n");
        Path target = host.directory.resolve("rdm.raw");
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

    @Test
    void appliancesAreImportedWithAllTheirDisks() throws IOException {
        Path folder = Files.createDirectory(host.directory.resolve("appliance"));
        Path first = raw("system.raw");
        Path second = raw("data.raw");
        Path one = folder.resolve("disk1.vmdk");
        Path two = folder.resolve("disk2.vmdk");
        for (Path disk : List.of(one, two)) {
            Path raw = disk.equals(one) ? first : second;
            stranger("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, disk);
        }
        String format = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";
        Path descriptor = Files.writeString(
                folder.resolve("vm.ovf"),
                "<Envelope xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"><References>"
                        + "<File ovf:id=\"f1\" ovf:href=\"disk1.vmdk\"/><File ovf:id=\"f2\" ovf:href=\"disk2.vmdk\"/>"
                        + "</References><DiskSection>"
                        + "<Disk ovf:diskId=\"d1\" ovf:fileRef=\"f1\" ovf:format=\"" + format + "\"/>"
                        + "<Disk ovf:diskId=\"d2\" ovf:fileRef=\"f2\" ovf:format=\"" + format + "\"/>"
                        + "</DiskSection></Envelope>");
        StringBuilder digests = new StringBuilder();
        for (Path file : List.of(descriptor, one, two)) {
            String digest = stranger("sha256sum", file);
            digests.append("SHA256(").append(file.getFileName()).append(")= ");
            digests.append(digest, 0, digest.indexOf(' ')).append('\n');
        }
        Path manifest = Files.writeString(folder.resolve("vm.mf"), digests);
        Path ova = host.directory.resolve("vm.ova");
        stranger("tar", "-C", folder, "-cf", ova, "vm.ovf", "vm.mf", "disk1.vmdk", "disk2.vmdk");
        host.run("disk", "import", "ova", "--datastore", "slow", "--from", ova.toString())
                .done();
        assertThat(file("slow", "ova-1.raw")).hasSameBinaryContentAs(first);
        assertThat(file("slow", "ova-2.raw")).hasSameBinaryContentAs(second);
        host.run("disk", "import", "second", "--datastore", "slow", "--from", ova.toString(), "--disk", "2")
                .done();
        assertThat(file("slow", "second.raw")).hasSameBinaryContentAs(second);
        host.run("disk", "import", "third", "--datastore", "slow", "--from", ova.toString(), "--disk", "3")
                .failed(2, "2 disks");
        host.run("disk", "import", "ovf", "--datastore", "slow", "--from", descriptor.toString(), "--disk", "1")
                .done();
        assertThat(file("slow", "ovf.raw")).hasSameBinaryContentAs(first);
        Files.writeString(manifest, digests.toString().replaceFirst("= [0-9a-f]{8}", "= 00000000"));
        host.run("disk", "import", "changed", "--datastore", "slow", "--from", descriptor.toString())
                .failed(1, "manifest", "damaged");
        Files.delete(manifest);
        Files.delete(two);
        host.run("disk", "import", "gone", "--datastore", "slow", "--from", descriptor.toString())
                .failed(1, "disk2.vmdk");
        assertThat(host.run("disk", "ls").done().out()).doesNotContain("changed", "gone");
        host.run("disk", "import", "no", "--datastore", "slow", "--from", first.toString(), "--disk", "1")
                .failed(2, "appliances");
    }

    @Test
    void aDeltaOfAnotherHypervisorIsReadWithWhatLiesBelow() throws IOException {
        Path raw = raw("snapshots.raw");
        Path folder = Files.createDirectory(host.directory.resolve("vm"));
        Path base = folder.resolve("vm.vmdk");
        Path delta = folder.resolve("vm-000001.vmdk");
        stranger("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", raw, base);
        stranger("qemu-img", "create", "-f", "vmdk", "-b", base, "-F", "vmdk", delta);
        stranger("qemu-io", "-f", "vmdk", "-c", "write -P 7 1M 300k", delta);
        Path flat = host.directory.resolve("flat.raw");
        stranger("qemu-img", "convert", "-f", "vmdk", "-O", "raw", delta, flat);
        JsonNode info = FerryHost.bare("image", "info", delta.toString(), "--json")
                .done()
                .json();
        assertThat(info.path("backing-filename").asString()).isEqualTo(base.toString());
        host.run("disk", "import", "flat", "--datastore", "slow", "--from", delta.toString(), "--format", "vmdk")
                .done();
        assertThat(file("slow", "flat.raw")).hasSameBinaryContentAs(flat);
        // A parent elsewhere, though a link leads there.
        Path elsewhere = Files.move(base, host.directory.resolve("elsewhere.vmdk"));
        Files.createSymbolicLink(base, elsewhere);
        FerryHost.bare("image", "map", delta.toString(), "--format", "vmdk").failed(1, "not in its directory");
        Files.delete(base);
        FerryHost.bare("image", "map", delta.toString(), "--format", "vmdk").failed(1, "is not there");
        FerryHost.bare("image", "info", delta.toString()).done();
    }

    @Test
    void aDataFileIsReadBesideItsImageAndNowhereElse() throws IOException {
        Path raw = raw("data.raw");
        Path image = host.directory.resolve("data.qcow2");
        Path data = host.directory.resolve("its.data");
        stranger("qemu-img", "create", "-f", "qcow2", "-o", "extended_l2=on,data_file=" + data, image, "12M");
        stranger("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", raw, image);
        FerryHost.bare("image", "compare", raw.toString(), image.toString(), "--format-b", "qcow2")
                .done();
        JsonNode info = FerryHost.bare("image", "info", image.toString(), "--json")
                .done()
                .json()
                .path("format-specific")
                .path("data");
        assertThat(info.path("data-file").asString()).isEqualTo(data.toString());
        assertThat(info.path("extended-l2").asBoolean()).isTrue();
        FerryHost.bare("image", "resize", image.toString(), "20M", "--format", "qcow2")
                .failed(1, "extended L2 entries");
        Path folder = Files.createDirectory(host.directory.resolve("apart"));
        Files.move(image, folder.resolve("data.qcow2"));
        FerryHost.bare("image", "map", folder.resolve("data.qcow2").toString(), "--format", "qcow2")
                .failed(1, "not in its directory");
        FerryHost.bare("image", "info", folder.resolve("data.qcow2").toString()).done();
    }

    @Test
    void disksAreWrittenAsVmdkVhdAndVhdx() throws IOException {
        Path raw = raw("out.raw");
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
            String image = host.directory.resolve(subformat + "." + ours).toString();
            FerryHost.bare("image", "convert", raw.toString(), image, "--format", ours, "--subformat", subformat)
                    .done();
            if (!theirs.equals("vpc")) {
                stranger("qemu-img", "check", "-f", theirs, image);
            }
            stranger("qemu-img", "compare", "-f", "raw", "-F", theirs, raw, image);
            FerryHost.bare("image", "compare", raw.toString(), image, "--format-b", ours)
                    .done();
            FerryHost.bare("image", "convert", raw.toString(), image, "--format", ours)
                    .failed(1, "exists already");
        }
        assertThat(host.directory.resolve("monolithicFlat-flat.vmdk")).hasSameBinaryContentAs(raw);
        assertThat(host.directory.resolve("twoGbMaxExtentFlat-f001.vmdk")).hasSameBinaryContentAs(raw);
        String no = host.directory.resolve("no.vmdk").toString();
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
        Path out = host.directory.resolve("served");
        List<String> command = Self.command(
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
            Path image = host.directory.resolve("made-" + subformat + "." + ours);
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
            Path socket = host.directory.resolve("made.sock");
            Process server = served(image, ours, socket);
            try {
                stranger(
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
            stranger(
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
                stranger("qemu-img", "check", "-f", "vmdk", image);
            }
        }
    }

    /** Every way between them that is not within one format, the guest's data in place after each. */
    @Test
    void aDiskMovesThroughEveryFormatWhileItIsAttached() throws IOException {
        host.run("disk", "create", "tour", "--datastore", "fast", "--size", "64M", "--format", "vmdk")
                .done();
        String uri = host.run("disk", "attach", "tour").done().out().strip();
        String store = "fast";
        int pattern = 40;
        stranger("qemu-io", "-f", "raw", "-c", "write -P 40 1M 3M", "-c", "write -P 41 60M 64k", uri);
        for (String format : List.of(
                "vhd", "vhdx", "raw", "vhd", "qcow2", "vhdx", "vmdk", "raw", "vhdx", "vhd", "vmdk", "qcow2", "vmdk")) {
            store = store.equals("fast") ? "slow" : "fast";
            host.run("migrate", "tour", "--to", store, "--format", format).done();
            JsonNode shown = host.run("disk", "show", "tour", "--json").done().json();
            assertThat(shown.path("format").asString()).isEqualTo(format);
            assertThat(shown.path("allocatedBytes").asLong()).isLessThan(12 << 20);
            pattern++;
            stranger(
                    "qemu-io",
                    "-f",
                    "raw",
                    "-c",
                    "read -P " + (pattern - 1) + " 1M 64k",
                    "-c",
                    "read -P 40 2M 2M",
                    "-c",
                    "read -P 0 20M 20M",
                    "-c",
                    "read -P 41 60M 64k",
                    "-c",
                    "write -P " + pattern + " 1M 64k",
                    "-c",
                    "write -P 42 62M 4k",
                    uri);
        }
        host.run("disk", "detach", "tour").done();
        Path file = file(store, "tour.vmdk");
        stranger("qemu-img", "check", "-f", "vmdk", file);
        stranger("qemu-io", "-f", "vmdk", "-c", "read -P " + pattern + " 1M 64k", "-c", "read -P 42 62M 4k", file);
    }

    @Test
    void imagesAreCompressedAsTheyAreConverted() throws IOException {
        byte[] bytes = new byte[9 << 20];
        new Random(3).nextBytes(bytes);
        for (int i = 0; i < 5 << 20; i++) {
            bytes[i] = (byte) (i >> 12);
        }
        Path raw = Files.write(host.directory.resolve("compress.raw"), Arrays.copyOf(bytes, (12 << 20) + 512));
        for (String how : List.of("zlib", "zstd")) {
            String image = host.directory.resolve(how + ".qcow2").toString();
            FerryHost.bare("image", "convert", raw.toString(), image, "--format", "qcow2", "--compress", how)
                    .done();
            sound(Path.of(image));
            stranger("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
            assertThat(Files.size(Path.of(image))).isLessThan(5 << 20);
        }
        String no = host.directory.resolve("no.raw").toString();
        FerryHost.bare("image", "convert", raw.toString(), no, "--format", "raw", "--compress", "zlib")
                .failed(2, "qcow2");
        FerryHost.bare("image", "convert", raw.toString(), no, "--format", "qcow2", "--compress", "lzma")
                .failed(2, "zlib or zstd");
    }

    @Test
    void imagesAreResizedAndTheirSnapshotsKept() throws IOException {
        Path raw = raw("changed.raw");
        String image = host.directory.resolve("changed.qcow2").toString();
        FerryHost.bare("image", "convert", raw.toString(), image, "--format", "qcow2")
                .done();
        FerryHost.bare("image", "snapshot", image, "--create", "before").done();
        FerryHost.bare("image", "resize", image, "20M", "--format", "qcow2").done();
        FerryHost.bare("image", "resize", image, "1M", "--format", "qcow2").failed(2, "--shrink");
        FerryHost.bare("image", "resize", image, "1M").failed(2, "looks like qcow2");
        FerryHost.bare("image", "resize", image, "1M", "--format", "qcow2", "--shrink")
                .done();
        sound(Path.of(image));
        String then = host.directory.resolve("then.raw").toString();
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
        stranger("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
        JsonNode listed =
                FerryHost.bare("image", "snapshot", image, "--json").done().json();
        assertThat(listed.get(0).path("name").asString()).isEqualTo("before");
        assertThat(listed.get(0).path("disk-size").asLong()).isEqualTo(3 * DATA_BYTES);
        FerryHost.bare("image", "snapshot", image, "--create", "before").failed(1, "already");
        FerryHost.bare("image", "snapshot", image, "--delete", "before").done();
        FerryHost.bare("image", "snapshot", image, "--delete", "before").failed(1, "no snapshot");
        FerryHost.bare("image", "snapshot", image, "--delete", "a", "--apply", "b")
                .failed(2, "--apply");
        sound(Path.of(image));
        FerryHost.bare("image", "resize", then, "20M").done();
        assertThat(Files.size(Path.of(then))).isEqualTo(20 << 20);
    }

    @Test
    void imagesAreConvertedComparedAndChecked() throws IOException {
        Path raw = raw("tools.raw");
        String image = host.directory.resolve("tools.qcow2").toString();
        String back = host.directory.resolve("back.raw").toString();
        FerryHost.bare("image", "convert", raw.toString(), image, "--format", "qcow2", "--cluster-size", "4K")
                .done();
        sound(Path.of(image));
        stranger("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
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
        stranger("qemu-io", "-f", "qcow2", "-c", "write -P 1 3M 512", image);
        FerryHost.Result differs = FerryHost.bare("image", "compare", raw.toString(), image, "--format-b", "qcow2");
        assertThat(differs.status()).isEqualTo(1);
        assertThat(differs.out()).contains("differ", String.valueOf(3 << 20));
        JsonNode info = FerryHost.bare("image", "info", image, "--json").done().json();
        JsonNode theirs = new tools.jackson.databind.ObjectMapper()
                .readTree(stranger("qemu-img", "info", "--output=json", "-f", "qcow2", image));
        for (String field : List.of("virtual-size", "format", "cluster-size", "actual-size", "dirty-flag")) {
            assertThat(info.path(field)).as(field).isEqualTo(theirs.path(field));
        }
        JsonNode map = FerryHost.bare("image", "map", image, "--format", "qcow2", "--json")
                .done()
                .json();
        assertThat(map.size()).isEqualTo(3);
        assertThat(map.get(1).path("zero").asBoolean()).isTrue();
        assertThat(map.get(1).path("start").asLong()).isEqualTo(DATA_BYTES);
    }

    @Test
    void aBackingFileIsOpenedBesideItsOverlayAndNowhereElse() throws IOException {
        Path raw = raw("base.raw");
        String overlay = host.directory.resolve("overlay.qcow2").toString();
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
            Path hostile = host.directory.resolve("hostile.qcow2");
            stranger("qemu-img", "create", "-u", "-f", "qcow2", "-b", name, "-F", "raw", hostile, "1M");
            FerryHost.bare("image", "info", hostile.toString()).done();
            FerryHost.bare("image", "map", hostile.toString(), "--format", "qcow2")
                    .failed(1, "that it names");
        }
        Path circle = host.directory.resolve("circle.qcow2");
        stranger("qemu-img", "create", "-u", "-f", "qcow2", "-b", "circle.qcow2", "-F", "qcow2", circle, "1M");
        FerryHost.bare("image", "map", circle.toString(), "--format", "qcow2").failed(1, "circle");
        Path unsaid = host.directory.resolve("unsaid.qcow2");
        stranger(
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
    void oneShotServersServeQcow2() throws Exception {
        String image = host.directory.resolve("served.qcow2").toString();
        FerryHost.bare("image", "create", image, "--format", "qcow2", "--size", "32M")
                .done();
        Path socket = host.directory.resolve("served.sock");
        Process server = new ProcessBuilder(Self.command(
                        Self.Part.DAEMON,
                        List.of("nbd", "serve", image, "--format", "qcow2", "--socket", socket.toString())))
                .redirectErrorStream(true)
                .redirectOutput(host.directory.resolve("served.log").toFile())
                .start();
        try {
            FerryHost.until(() -> Files.exists(socket));
            stranger(
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
        sound(Path.of(image));
    }
}
