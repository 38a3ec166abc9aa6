package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/** Disks that others have made come to a daemon, one by one and in appliances. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(180)
final class ImportedDisksTest {
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

    @Test
    void anImageIsImportedAsWhatItIsSaidToBe() throws IOException {
        Path raw = Images.raw(host.directory.resolve("import.raw"));
        Path image = host.directory.resolve("import.qcow2");
        succeeds("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, image);
        host.run("disk", "import", "said", "--datastore", "slow", "--from", image.toString(), "--from-format", "qcow2")
                .done();
        succeeds("qemu-img", "compare", "-f", "qcow2", "-F", "raw", file("slow", "said.qcow2"), raw);
        host.run("disk", "import", "asked", "--datastore", "slow", "--from", image.toString(), "--from-format", "auto")
                .done();
        assertThat(file("slow", "asked.qcow2")).exists();
        host.run("disk", "import", "unasked", "--datastore", "slow", "--from", image.toString())
                .failed(2, "looks like qcow2", "--from-format raw");
        host.run("disk", "import", "bytes", "--datastore", "slow", "--from", image.toString(), "--from-format", "raw")
                .done();
        assertThat(file("slow", "bytes.raw")).hasSameBinaryContentAs(image);
    }

    @Test
    void disksOfOtherHypervisorsAreImportedAndConverted() throws IOException {
        Path raw = Images.raw(host.directory.resolve("foreign.raw"));
        for (String kind : List.of(
                "vmdk:twoGbMaxExtentSparse", "vmdk:streamOptimized", "vpc:dynamic,force_size=on", "vhdx:dynamic")) {
            String theirs = kind.substring(0, kind.indexOf(':'));
            String ours = theirs.equals("vpc") ? "vhd" : theirs;
            String name = "f" + Integer.toHexString(kind.hashCode());
            Path image = host.directory.resolve(name + "." + ours);
            succeeds(
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
            succeeds("qemu-img", "compare", "-f", "qcow2", "-F", "raw", converted, raw);
            assertThat(FerryHost.bare("image", "info", image.toString(), "--json")
                            .done()
                            .json()
                            .path("format")
                            .asString())
                    .isEqualTo(ours);
            host.run("disk", "import", name, "--datastore", "slow", "--from", image.toString(), "--from-format", "auto")
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
    void appliancesAreImportedWithAllTheirDisks() throws IOException {
        Path folder = Files.createDirectory(host.directory.resolve("appliance"));
        Path first = Images.raw(host.directory.resolve("system.raw"));
        Path second = Images.raw(host.directory.resolve("data.raw"));
        Path one = folder.resolve("disk1.vmdk");
        Path two = folder.resolve("disk2.vmdk");
        for (Path disk : List.of(one, two)) {
            Path raw = disk.equals(one) ? first : second;
            succeeds("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, disk);
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
            String digest = succeeds("sha256sum", file);
            digests.append("SHA256(").append(file.getFileName()).append(")= ");
            digests.append(digest, 0, digest.indexOf(' ')).append('\n');
        }
        Path manifest = Files.writeString(folder.resolve("vm.mf"), digests);
        Path ova = host.directory.resolve("vm.ova");
        succeeds("tar", "-C", folder, "-cf", ova, "vm.ovf", "vm.mf", "disk1.vmdk", "disk2.vmdk");
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
        Path raw = Images.raw(host.directory.resolve("snapshots.raw"));
        Path folder = Files.createDirectory(host.directory.resolve("vm"));
        Path base = folder.resolve("vm.vmdk");
        Path delta = folder.resolve("vm-000001.vmdk");
        succeeds("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", raw, base);
        succeeds("qemu-img", "create", "-f", "vmdk", "-b", base, "-F", "vmdk", delta);
        succeeds("qemu-io", "-f", "vmdk", "-c", "write -P 7 1M 300k", delta);
        Path flat = host.directory.resolve("flat.raw");
        succeeds("qemu-img", "convert", "-f", "vmdk", "-O", "raw", delta, flat);
        JsonNode info = FerryHost.bare("image", "info", delta.toString(), "--json")
                .done()
                .json();
        assertThat(info.path("backing-filename").asString()).isEqualTo(base.toString());
        host.run("disk", "import", "flat", "--datastore", "slow", "--from", delta.toString(), "--from-format", "vmdk")
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
}
