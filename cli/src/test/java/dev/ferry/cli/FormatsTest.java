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
import tools.jackson.databind.JsonNode;

/** Disks of a daemon in every format: made, served, moved from one to another while they are in use, and there after a kill. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(180)
final class FormatsTest {
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
    void aDiskMovesFromQcow2ToRawAndBackWhileItIsAttached() throws IOException {
        host.run("disk", "create", "both", "--datastore", "fast", "--size", "64M", "--format", "qcow2")
                .done();
        String uri = host.run("disk", "attach", "both").done().out().strip();
        succeeds(
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
        succeeds("qemu-io", "-f", "raw", "-c", "write -P 19 50M 64k", "-c", "read -P 17 1M 1M", uri);
        host.run("migrate", "both", "--to", "fast", "--format", "qcow2").done();
        JsonNode shown = host.run("disk", "show", "both", "--json").done().json();
        assertThat(shown.path("format").asString()).isEqualTo("qcow2");
        assertThat(shown.path("allocatedBytes").asLong()).isLessThan(6 << 20);
        succeeds(
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
        Images.sound(file("fast", "both.qcow2"));
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
            succeeds("qemu-io", "-f", "raw", "-t", "unsafe", "-c", "write -P 23 1M 9M", uri);
            uris.add(uri);
        }
        host.killDaemon();
        FerryHost.until(() -> host.run("disk", "ls").status() == 0);
        for (String uri : uris) {
            succeeds("qemu-io", "-f", "raw", "-c", "read -P 23 1M 9M", "-c", "read -P 0 10M 54M", uri);
        }
        for (String format : formats) {
            host.run("disk", "detach", "killed" + format).done();
        }
        FerryHost.bare("image", "check", file("fast", "killedqcow2.qcow2").toString(), "--repair", "leaks")
                .done();
        Images.sound(file("fast", "killedqcow2.qcow2"));
        succeeds("qemu-img", "check", "-f", "vmdk", file("fast", "killedvmdk.vmdk"));
    }

    /** Every way between them that is not within one format, the guest's data in place after each. */
    @Test
    void aDiskMovesThroughEveryFormatWhileItIsAttached() throws IOException {
        host.run("disk", "create", "tour", "--datastore", "fast", "--size", "64M", "--format", "vmdk")
                .done();
        String uri = host.run("disk", "attach", "tour").done().out().strip();
        String store = "fast";
        int pattern = 40;
        succeeds("qemu-io", "-f", "raw", "-c", "write -P 40 1M 3M", "-c", "write -P 41 60M 64k", uri);
        for (String format : List.of(
                "vhd", "vhdx", "raw", "vhd", "qcow2", "vhdx", "vmdk", "raw", "vhdx", "vhd", "vmdk", "qcow2", "vmdk")) {
            store = store.equals("fast") ? "slow" : "fast";
            host.run("migrate", "tour", "--to", store, "--format", format).done();
            JsonNode shown = host.run("disk", "show", "tour", "--json").done().json();
            assertThat(shown.path("format").asString()).isEqualTo(format);
            assertThat(shown.path("allocatedBytes").asLong()).isLessThan(12 << 20);
            pattern++;
            succeeds(
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
        succeeds("qemu-img", "check", "-f", "vmdk", file);
        succeeds("qemu-io", "-f", "vmdk", "-c", "read -P " + pattern + " 1M 64k", "-c", "read -P 42 62M 4k", file);
    }
}
