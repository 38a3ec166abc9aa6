package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/** Commands against a real daemon, from the first datastore to the last move. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(120)
final class CommandsTest {
    private static final int DATA_BYTES = 8 << 20;

    private final FerryHost host = start();

    private static FerryHost start() {
        try {
            return FerryHost.started();
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }

    private Path image() throws IOException {
        Path image = host.directory.resolve("image.raw");
        if (Files.notExists(image)) {
            byte[] bytes = new byte[DATA_BYTES * 2];
            new Random(7).nextBytes(bytes);
            Arrays.fill(bytes, DATA_BYTES, bytes.length, (byte) 0);
            Files.write(image, bytes);
        }
        return image;
    }

    @BeforeAll
    void daemonRuns() {
        host.run("datastore", "ls").done();
    }

    @AfterAll
    void stop() throws IOException {
        host.close();
    }

    private void importDisk(String name) throws IOException {
        host.run("disk", "import", name, "--datastore", "fast", "--from", image().toString())
                .done();
    }

    private static List<String> names(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false)
                .map(node -> node.path("name").asString())
                .toList();
    }

    @Test
    void aDiskIsMadeShownAttachedAndRemoved() {
        host.run("disk", "create", "one", "--datastore", "fast", "--size", "10M")
                .done();
        JsonNode shown = host.run("disk", "show", "one", "--json").done().json();
        assertThat(shown.path("name").asString()).isEqualTo("one");
        assertThat(shown.path("datastore").asString()).isEqualTo("fast");
        assertThat(shown.path("format").asString()).isEqualTo("raw");
        assertThat(shown.path("sizeBytes").asLong()).isEqualTo(10 << 20);
        assertThat(shown.path("allocatedBytes").asLong()).isZero();
        assertThat(shown.path("state").asString()).isEqualTo("detached");
        assertThat(Path.of(shown.path("path").asString())).hasSize(10 << 20);

        String uri = host.run("disk", "attach", "one", "--json")
                .done()
                .json()
                .path("uri")
                .asString();
        assertThat(uri).isEqualTo("nbd+unix:///one?socket=" + host.data.resolve("nbd.sock"));
        JsonNode info = host.run("nbd", "info", uri, "--json").done().json();
        assertThat(info.path("exports").get(0).path("sizeBytes").asLong()).isEqualTo(10 << 20);
        assertThat(host.run("disk", "show", "one").done().out()).contains("attached", uri);
        assertThat(names(host.run("disk", "ls", "--json").done().json())).contains("one");

        host.run("disk", "rm", "one").failed(1, "attached", "ferry disk detach one");
        host.run("disk", "detach", "one").done();
        host.run("disk", "rm", "one").done();
        assertThat(Path.of(shown.path("path").asString())).doesNotExist();
        host.run("disk", "show", "one").failed(1, "there is no disk one");
    }

    @Test
    void anAttachedDiskMovesAndNothingOfItChanges() throws IOException {
        importDisk("mover");
        String uri = host.run("disk", "attach", "mover").done().out().strip();
        JsonNode moved =
                host.run("migrate", "mover", "--to", "slow", "--json").done().json();
        assertThat(moved.path("id").asString()).isNotEmpty();
        assertThat(moved.path("state").asString()).isEqualTo("done");
        assertThat(moved.path("seconds").asDouble()).isPositive();
        assertThat(moved.path("mover").asString()).isNotEmpty();
        assertThat(moved.path("verified").asBoolean()).isTrue();
        JsonNode disk = moved.path("disks").get(0);
        assertThat(disk.path("name").asString()).isEqualTo("mover");
        assertThat(disk.path("bytesCopied").asLong()).isEqualTo(DATA_BYTES);
        assertThat(disk.path("bytesMirrored").isNumber()).isTrue();
        assertThat(disk.path("switchoverPauseMillis").asDouble()).isPositive();

        JsonNode shown = host.run("disk", "show", "mover", "--json").done().json();
        assertThat(shown.path("datastore").asString()).isEqualTo("slow");
        assertThat(shown.path("allocatedBytes").asLong()).isEqualTo(DATA_BYTES);
        assertThat(host.directory.resolve("fast/mover.raw")).doesNotExist();
        Path copy = host.directory.resolve("copy.raw");
        host.run("nbd", "copy", uri, copy.toString()).done();
        assertThat(copy).hasSameBinaryContentAs(image());
        JsonNode listed = host.run("migration", "ls", "--json").done().json();
        assertThat(listed.isArray()).isTrue();
        assertThat(listed.get(0).propertyNames()).contains("id", "state", "phase", "progress", "disks");
    }

    @Test
    void aMoveIsPausedHurriedAndCalledOff() throws IOException {
        importDisk("slowly");
        String id = host.run("migrate", "slowly", "--to", "slow", "--rate", "64K", "--detach")
                .done()
                .out()
                .strip();
        assertThat(host.run("disk", "show", "slowly", "--json")
                        .json()
                        .path("state")
                        .asString())
                .isEqualTo("moving");
        host.run("migrate", "slowly", "--to", "slow").failed(1, "moved already");
        host.run("disk", "rm", "slowly").failed(1, "being moved");
        host.run("migration", "pause", id).done();
        assertThat(state(id)).isEqualTo("paused");
        host.run("migration", "resume", id).done();
        assertThat(state(id)).isEqualTo("running");
        host.run("migration", "rate", id, "128K").done();
        assertThat(host.run("migration", "show", id, "--json")
                        .json()
                        .path("rateBytesPerSecond")
                        .asLong())
                .isEqualTo(128 << 10);
        assertThat(host.run("migration", "cancel", id).done().out()).contains("cancelled");
        assertThat(state(id)).isEqualTo("cancelled");
        assertThat(host.directory.resolve("fast/slowly.raw")).exists();
        assertThat(host.directory.resolve("slow")).isDirectoryNotContaining("glob:**slowly*");
        host.run("migration", "watch", id).failed(1, "was cancelled");
        host.run("migration", "cancel", id).failed(1, "cancelled");
    }

    private String state(String id) {
        return host.run("migration", "show", id, "--json")
                .done()
                .json()
                .path("state")
                .asString();
    }

    @Test
    void aRehearsalChangesNothing() throws IOException {
        importDisk("still");
        assertThat(host.run("migrate", "still", "--to", "slow", "--dry-run")
                        .done()
                        .out())
                .startsWith("go\n")
                .contains("disk still of 16 MiB: fast to slow", "mover ", "of data", "needed", "time ")
                .doesNotContain("no: ");
        JsonNode report = host.run("migrate", "still", "--to", "slow", "--dry-run", "--json")
                .done()
                .json();
        assertThat(report.path("go").asBoolean()).isTrue();
        assertThat(report.path("seconds").path("least").asDouble()).isPositive();
        assertThat(host.run("disk", "show", "still", "--json")
                        .json()
                        .path("datastore")
                        .asString())
                .isEqualTo("fast");
        assertThat(host.directory.resolve("slow")).isDirectoryNotContaining("glob:**still*");
        assertThat(host.directory.resolve("slow")).isDirectoryNotContaining("glob:**trial*");
    }

    @Test
    void aRehearsalThatSaysNoFails() throws IOException {
        importDisk("never");
        Path obstacle = Files.createFile(host.directory.resolve("slow/never.raw"));
        FerryHost.Result refused = host.run("migrate", "never", "--to", "slow", "--dry-run")
                .failed(1, "no-go", "never.raw exists already");
        assertThat(refused.out()).startsWith("no-go\n").contains("no: ");
        Files.delete(obstacle);
    }

    @Test
    void aDiskHasATcpPortOfItsOwn() {
        host.run("disk", "create", "far", "--datastore", "fast", "--size", "1M").done();
        String uri = host.run("disk", "attach", "far", "--tcp", "127.0.0.1:0")
                .done()
                .out()
                .strip();
        assertThat(uri).matches("nbd://127\\.0\\.0\\.1:[0-9]+/far");
        host.run("nbd", "info", uri).done();
        host.run("nbd", "info", uri.replace("/far", "/one")).failed(1, "one");
        host.run("disk", "detach", "far").done();
        host.run("nbd", "info", uri).failed(1);
    }

    @Test
    void provisioningIsWhatWasAskedFor() {
        host.run("disk", "create", "lazy", "--datastore", "fast", "--size", "3M", "--provisioning", "lazy")
                .done();
        host.run("disk", "create", "eager", "--datastore", "fast", "--size", "3M", "--provisioning", "eager")
                .done();
        for (String name : List.of("lazy", "eager")) {
            JsonNode shown = host.run("disk", "show", name, "--json").done().json();
            assertThat(shown.path("allocatedBytes").asLong()).as(name).isEqualTo(3 << 20);
        }
    }

    @Test
    void everyCommandExplainsItself() {
        for (String name : Commands.NAMES) {
            FerryHost.Result help = FerryHost.bare(name, "--help");
            assertThat(help.done().out()).startsWith("Usage: ferry " + name);
        }
        assertThat(FerryHost.bare().done().out()).contains("ferry demo").contains(Commands.NAMES);
        FerryHost.bare("bench", "nbd", "--rounds", "1").failed(1, "without its measurements");
        assertThat(FerryHost.bare("--version").done().out()).startsWith("ferry ");
    }
}
