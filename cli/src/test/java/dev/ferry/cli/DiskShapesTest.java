package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Disks of a datastore are made, and imported, in the format and the shape that was asked for; qemu-img says what they are. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(180)
final class DiskShapesTest {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final FerryHost host = start();
    private int disks;

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
        return host.directory.resolve("fast").resolve(name);
    }

    /** Names and options of a command, and what is said besides in one string. */
    private FerryHost.Result run(String options, String... command) {
        List<String> all = new ArrayList<>(List.of(command));
        if (!options.isEmpty()) {
            all.addAll(List.of(options.split(" ")));
        }
        return host.run(all.toArray(String[]::new));
    }

    private static JsonNode info(String format, Path image) {
        return JSON.readTree(succeeds("qemu-img", "info", "--output=json", "-f", format, image));
    }

    private static void assertShape(Path image, long clusterBytes, boolean extended, int refcountBits, String compat) {
        JsonNode told = info("qcow2", image);
        JsonNode data = told.path("format-specific").path("data");
        assertThat(told.path("cluster-size").asLong()).isEqualTo(clusterBytes);
        assertThat(data.path("refcount-bits").asInt()).isEqualTo(refcountBits);
        assertThat(data.path("compat").asString()).isEqualTo(compat);
        assertThat(data.path("extended-l2").asBoolean(false)).isEqualTo(extended);
        Images.sound(image);
    }

    @ParameterizedTest
    @CsvSource({
        "'', 65536, false, 16, 1.1",
        "--cluster-size=4K --refcount-bits=8, 4096, false, 8, 1.1",
        "--cluster-size=2M --refcount-bits=64, 2097152, false, 64, 1.1",
        "--cluster-size=512 --qcow2-version=2, 512, false, 16, 0.10",
        "--extended-l2, 131072, true, 16, 1.1",
        "--extended-l2 --cluster-size=16K --refcount-bits=1, 16384, true, 1, 1.1"
    })
    void aDiskHasTheShapeThatWasAskedFor(
            String options, long clusterBytes, boolean extended, int refcountBits, String compat) throws IOException {
        Path raw = Images.raw(host.directory.resolve("shape.raw"));
        Files.createDirectories(host.directory.resolve("fast"));
        for (String provisioning : List.of("thin", "lazy", "eager")) {
            String name = "made" + ++disks;
            run(
                            options,
                            "disk",
                            "create",
                            name,
                            "--datastore=fast",
                            "--size=12M",
                            "--format=qcow2",
                            "--provisioning=" + provisioning)
                    .done();
            assertShape(file(name + ".qcow2"), clusterBytes, extended, refcountBits, compat);
            String filled = "import" + disks;
            run(
                            options,
                            "disk",
                            "import",
                            filled,
                            "--datastore=fast",
                            "--from=" + raw,
                            "--format=qcow2",
                            "--provisioning=" + provisioning)
                    .done();
            assertShape(file(filled + ".qcow2"), clusterBytes, extended, refcountBits, compat);
            succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, file(filled + ".qcow2"));
        }
        String uri = host.run("disk", "attach", "made" + disks).done().out().strip();
        succeeds("qemu-io", "-f", "raw", "-c", "write -P 21 100k 5M", "-c", "discard 2M 100k", uri);
        host.run("disk", "detach", "made" + disks).done();
        assertShape(file("made" + disks + ".qcow2"), clusterBytes, extended, refcountBits, compat);
        Files.copy(raw, file("below" + disks));
        run(
                        options,
                        "disk",
                        "create",
                        "over" + disks,
                        "--datastore=fast",
                        "--backing=below" + disks,
                        "--backing-format=raw")
                .done();
        assertShape(file("over" + disks + ".qcow2"), clusterBytes, extended, refcountBits, compat);
        succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, file("over" + disks + ".qcow2"));
    }

    @ParameterizedTest
    @CsvSource({
        "qcow2, qcow2, raw, raw",
        "qcow2, qcow2, vmdk, vmdk",
        "vmdk, vmdk, qcow2, qcow2",
        "vpc, vhd, vhdx, vhdx",
        "vhdx, vhdx, vhd, vpc",
        "raw, raw, vhd, vpc",
        "vmdk, auto, vhdx, vhdx"
    })
    void whatIsImportedBecomesADiskInAnyFormatWhateverItWas(String theirs, String from, String format, String made) {
        String name = "from-" + from + "-to-" + format;
        Path raw = host.directory.resolve(name + ".raw");
        Path image = host.directory.resolve(name + ".image");
        try {
            Images.raw(raw);
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
        succeeds("qemu-img", "convert", "-f", "raw", "-O", theirs, raw, image);
        host.run(
                        "disk",
                        "import",
                        name,
                        "--datastore=fast",
                        "--from=" + image,
                        "--from-format=" + from,
                        "--format=" + format)
                .done();
        succeeds("qemu-img", "compare", "-f", theirs, "-F", made, image, file(name + "." + format));
        assertThat(host.run("disk", "show", name, "--json")
                        .done()
                        .json()
                        .path("format")
                        .asString())
                .isEqualTo(format);
    }

    @Test
    void theDisksOfAnApplianceBecomeWhatWasAskedFor() throws IOException {
        Path raw = Images.raw(host.directory.resolve("box.raw"));
        Path disk = host.directory.resolve("box.vmdk");
        succeeds("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, disk);
        Path descriptor = Files.writeString(host.directory.resolve("box.ovf"), """
                <Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
                  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
                  <References><File ovf:href="box.vmdk" ovf:id="f1"/></References>
                  <DiskSection><Disk ovf:capacity="%d" ovf:diskId="d1" ovf:fileRef="f1"
                    ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
                </Envelope>
                """.formatted(Files.size(raw)));
        run(
                        "--format=qcow2 --extended-l2 --cluster-size=32K",
                        "disk",
                        "import",
                        "box",
                        "--datastore=fast",
                        "--from=" + descriptor)
                .done();
        assertShape(file("box.qcow2"), 32 << 10, true, 16, "1.1");
        succeeds("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, file("box.qcow2"));
        run("--cluster-size=32K", "disk", "import", "no", "--datastore=fast", "--from=" + descriptor)
                .failed(2, "for qcow2");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--format=qcow2 --cluster-size=1000 | power of two from 512 to 2M, not 1000",
                "--format=qcow2 --cluster-size=256 | power of two from 512 to 2M, not 256",
                "--format=qcow2 --cluster-size=4M | power of two from 512 to 2M, not 4194304",
                "--format=qcow2 --refcount-bits=12 | 1, 2, 4, 8, 16, 32 or 64 bits, not 12",
                "--format=qcow2 --refcount-bits=128 | 1, 2, 4, 8, 16, 32 or 64 bits, not 128",
                "--format=qcow2 --qcow2-version=4 | version 2 or 3, not 4",
                "--format=qcow2 --qcow2-version=2 --refcount-bits=8 | 16 bits, not 8",
                "--format=qcow2 --qcow2-version=2 --extended-l2 | version 3",
                "--format=qcow2 --extended-l2 --cluster-size=8K | 16 KiB at least",
                "--format=vmdk --cluster-size=64K | for qcow2",
                "--format=raw --extended-l2 | for qcow2",
                "--format=vhdx --refcount-bits=16 | for qcow2",
                "--format=vhd --qcow2-version=3 | for qcow2",
            })
    void whatCannotBeIsRefusedInOneLineByTheCommandAndByTheDaemon(String options, String words) throws IOException {
        Path raw = Images.raw(host.directory.resolve("refused.raw"));
        String[] create = {"disk", "create", "no", "--datastore=fast", "--size=12M"};
        run(options, create).failed(2, words);
        run(options, "disk", "import", "no", "--datastore=fast", "--from=" + raw)
                .failed(2, words);
        Files.copy(raw, file("under"), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        run(
                        options,
                        "disk",
                        "create",
                        "no",
                        "--datastore=fast",
                        "--backing=under",
                        "--backing-format=" + options.replaceFirst("--format=([a-z0-9]+).*", "$1"))
                .failed(2, words);
        assertThat(file("no." + options.replaceFirst("--format=([a-z0-9]+).*", "$1")))
                .doesNotExist();
        assertThat(host.run("disk", "ls").done().out()).doesNotContain("no ");
    }

    @Test
    void clustersThatAreTooSmallForADiskAreRefusedBeforeAnythingIsMade() {
        run("--cluster-size=512", "disk", "create", "large", "--datastore=fast", "--size=8T", "--format=qcow2")
                .failed(2, "clusters of 512 bytes are too small");
        assertThat(file("large.qcow2")).doesNotExist();
        run("--cluster-size=4K", "disk", "create", "large", "--datastore=fast", "--size=8T", "--format=qcow2")
                .done();
        host.run("disk", "rm", "large").done();
    }

    /** What a client says that is not our command line. */
    @Test
    void theDaemonLooksForItself() {
        for (String[] shapeAndWords : new String[][] {
            {"\"format\":\"qcow2\",\"shape\":{\"clusterBytes\":1000}", "power of two from 512 to 2M"},
            {"\"format\":\"qcow2\",\"shape\":{\"refcountBits\":0}", "64 bits, not 0"},
            {"\"format\":\"qcow2\",\"shape\":{\"version\":-1}", "version 2 or 3"},
            {"\"format\":\"qcow2\",\"shape\":{\"version\":2,\"extendedL2\":true}", "version 3"},
            {"\"format\":\"vmdk\",\"shape\":{\"extendedL2\":true}", "for qcow2 disks, and not for vmdk"},
            {"\"format\":\"qcow2\",\"shape\":{\"clusterBits\":16}", "clusterBits"}
        }) {
            for (String route : List.of("", "/import", "/overlay", "/import-appliance")) {
                String fields = switch (route) {
                    case "" -> "\"sizeBytes\":1048576,\"provisioning\":\"thin\"";
                    case "/overlay" -> "\"sizeBytes\":0,\"backing\":\"x\",\"backingFormat\":\"vmdk\"";
                    default -> "\"from\":\"/does/not/exist.ova\",\"provisioning\":\"thin\"";
                };
                String body = "{\"name\":\"no\",\"datastore\":\"fast\"," + fields + "," + shapeAndWords[0] + "}";
                String answer = succeeds(
                        "curl",
                        "-s",
                        "-w",
                        " %{http_code}",
                        "--unix-socket",
                        host.data.resolve("ferry.sock"),
                        "-H",
                        "Content-Type: application/json",
                        "-d",
                        body,
                        "http://ferry/v1/disks" + route);
                assertThat(answer)
                        .as(route + body)
                        .contains("WRONG_USAGE", shapeAndWords[1])
                        .endsWith(" 400");
            }
        }
    }
}
