package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
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

/** {@code ferry migrate} gives a qcow2 disk the shape that is asked for, or leaves it as it is; qemu-img says what it is. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(300)
final class ShapedMovesTest {
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

    private FerryHost.Result run(String options, String... command) {
        List<String> all = new ArrayList<>(List.of(command));
        if (!options.isEmpty()) {
            all.addAll(List.of(options.split(" ")));
        }
        return host.run(all.toArray(String[]::new));
    }

    private Path slow(String name) {
        return host.directory.resolve("slow").resolve(name + ".qcow2");
    }

    /** A disk in use, with data. */
    private String disk(String options) {
        String name = "vm" + ++disks;
        run(options, "disk", "create", name, "--datastore=fast", "--size=24M").done();
        String uri = host.run("disk", "attach", name).done().out().strip();
        succeeds("qemu-io", "-f", "raw", "-c", "write -P 7 1M 9M", "-c", "write -P 8 20M 100k", uri);
        return name;
    }

    private void assertShape(Path image, long clusterBytes, boolean extended, int refcountBits, String compat) {
        JsonNode told = JSON.readTree(succeeds("qemu-img", "info", "--output=json", "-U", "-f", "qcow2", image));
        JsonNode data = told.path("format-specific").path("data");
        assertThat(told.path("cluster-size").asLong()).isEqualTo(clusterBytes);
        assertThat(data.path("refcount-bits").asInt()).isEqualTo(refcountBits);
        assertThat(data.path("compat").asString()).isEqualTo(compat);
        assertThat(data.path("extended-l2").asBoolean(false)).isEqualTo(extended);
    }

    private void assertContent(String name) {
        succeeds(
                "qemu-io",
                "-f",
                "qcow2",
                "-c",
                "read -P 7 1M 9M",
                "-c",
                "read -P 8 20M 100k",
                "-c",
                "read -P 0 10M 10M",
                slow(name));
    }

    @ParameterizedTest
    @CsvSource({
        "--format=qcow2, '', 65536, false, 16, 1.1",
        "--format=qcow2 --cluster-size=4K --refcount-bits=8, '', 4096, false, 8, 1.1",
        "--format=qcow2 --qcow2-version=2 --cluster-size=1M, '', 1048576, false, 16, 0.10",
        "--format=qcow2 --extended-l2, '', 131072, true, 16, 1.1",
        "--format=qcow2 --extended-l2, --cluster-size=2M --provisioning=lazy, 2097152, false, 16, 1.1",
        "--format=qcow2 --refcount-bits=64, --extended-l2 --cluster-size=16K, 16384, true, 16, 1.1",
        "--format=qcow2, --qcow2-version=2, 65536, false, 16, 0.10",
        "--format=qcow2, --cluster-size=512 --refcount-bits=1 --mode=tracking, 512, false, 1, 1.1",
        "--format=raw, --format=qcow2 --cluster-size=32K --refcount-bits=32, 32768, false, 32, 1.1",
        "--format=raw, --format=qcow2, 65536, false, 16, 1.1",
        "--format=vmdk, --format=qcow2 --extended-l2 --provisioning=eager, 131072, true, 16, 1.1"
    })
    void aMovedDiskHasTheShapeThatIsToBe(
            String made, String asked, long clusterBytes, boolean extended, int refcountBits, String compat) {
        String name = disk(made);
        run(asked, "migrate", name, "--to", "slow").done();
        assertShape(slow(name), clusterBytes, extended, refcountBits, compat);
        host.run("disk", "detach", name).done();
        Images.sound(slow(name));
        assertContent(name);
    }

    @Test
    void aMoveThatIsInterruptedByAKillHasTheShapeThatWasAskedFor() {
        String name = disk("--format=qcow2");
        String id = run("--cluster-size=4K --refcount-bits=4 --rate=1M --detach", "migrate", name, "--to=slow")
                .done()
                .out()
                .strip();
        FerryHost.until(() -> host.run("migration", "show", id, "--json")
                        .json()
                        .path("disks")
                        .path(0)
                        .path("bytesCopied")
                        .asLong()
                > 0);
        host.killDaemon();
        FerryHost.until(() -> host.run("migration", "rate", id, "0").status() == 0);
        host.run("migration", "watch", id).done();
        assertShape(slow(name), 4096, false, 4, "1.1");
        host.run("disk", "detach", name).done();
        assertContent(name);
    }

    @Test
    void aRehearsalSaysTheShape() {
        String name = disk("--format=qcow2 --extended-l2 --cluster-size=32K");
        String kept = run("--dry-run", "migrate", name, "--to=slow").done().out();
        assertThat(kept).contains("qcow2 with clusters of 32 KiB with extended L2 entries");
        String asked = run("--dry-run --qcow2-version=2 --cluster-size=1M", "migrate", name, "--to=slow")
                .done()
                .out();
        assertThat(asked).contains("qcow2 of version 2 with clusters of 1 MiB, ");
        JsonNode told = run("--dry-run --json --refcount-bits=8", "migrate", name, "--to=slow")
                .done()
                .json()
                .path("disks")
                .path(0)
                .path("targetShape");
        assertThat(told.path("refcountBits").asInt()).isEqualTo(8);
        assertThat(told.path("extendedL2").asBoolean()).isFalse();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--format=raw --cluster-size=64K | for qcow2",
                "--format=vhdx --extended-l2 | for qcow2",
                "--cluster-size=1000 | power of two from 512 to 2M, not 1000",
                "--qcow2-version=2 --extended-l2 | version 3",
                "--with-snapshots --cluster-size=1M | --with-snapshots goes without"
            })
    void whatCannotBeIsRefusedInOneLine(String options, String words) {
        String name = disk("--format=qcow2");
        run(options, "migrate", name, "--to=slow").failed(2, words);
        run(options + " --dry-run", "migrate", name, "--to=slow").failed(2, words);
    }

    @Test
    void aDiskThatBecomesNoQcow2ImageHasNoShape() {
        String name = disk("--format=raw");
        run("--cluster-size=1M", "migrate", name, "--to=slow").failed(1, "are for qcow2 disks, and it becomes raw");
        assertThat(run("--cluster-size=1M --dry-run", "migrate", name, "--to=slow")
                        .status())
                .isEqualTo(1);
        host.run("disk", "detach", name).done();
    }

    /** What a client says that is not our command line. */
    @Test
    void theDaemonLooksForItself() {
        String name = disk("--format=qcow2");
        for (String[] fieldsAndWords : new String[][] {
            {"\"shape\":{\"clusterBytes\":1000}", "power of two from 512 to 2M"},
            {"\"format\":\"vmdk\",\"shape\":{\"extendedL2\":true}", "for qcow2 disks, and not for vmdk"},
            {"\"withSnapshots\":true,\"shape\":{\"refcountBits\":8}", "keep their shape"},
            {"\"shape\":{\"clusterBits\":16}", "clusterBits"}
        }) {
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
                    "{\"disks\":[\"" + name + "\"],\"target\":\"slow\",\"mode\":\"mirror\",\"verify\":true,"
                            + "\"bytesPerSecond\":0,\"maxAddedLatencyMillis\":0,\"floorBytesPerSecond\":0,"
                            + "\"maxDowntimeMillis\":0,\"keepSource\":false,\"graceMillis\":0,\"dryRun\":false,"
                            + fieldsAndWords[0] + "}",
                    "http://ferry/v1/migrations");
            assertThat(answer).contains("WRONG_USAGE", fieldsAndWords[1]).endsWith(" 400");
        }
    }
}
