package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Requires;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;

/** Disks of a daemon are moved with the internal snapshots that QEMU has made in them, machine states too, and QEMU goes on with those. */
@Timeout(300)
final class SnapshotMoveTest {
    private static final int SIZE = 4 << 20;

    private static Path fast(FerryHost host, String name) {
        return host.directory.resolve("fast").resolve(name);
    }

    private static Path slow(FerryHost host, String name) {
        return host.directory.resolve("slow").resolve(name);
    }

    private static List<String> names(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(path -> path.getFileName().toString()).sorted().toList();
        }
    }

    private static byte[] content(FerryHost host, Path image, String... snapshot) throws IOException {
        Path raw = host.directory.resolve("content.raw");
        List<Object> convert = new ArrayList<>(List.of("convert", "-f", "qcow2"));
        if (snapshot.length > 0) {
            convert.addAll(List.of("-l", "snapshot.name=" + snapshot[0]));
        }
        convert.addAll(List.of("-O", "raw", image, raw));
        succeeds("qemu-img", convert.toArray());
        return Files.readAllBytes(raw);
    }

    /** Two snapshots, most of which the disk has too. */
    private static void disk(FerryHost host, String name) {
        host.run("disk", "create", name, "--datastore", "fast", "--size", "4M", "--format", "qcow2")
                .done();
        Path file = fast(host, name + ".qcow2");
        succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 3M", file);
        succeeds("qemu-img", "snapshot", "-c", "monday", file);
        succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 2 1M 300k", file);
        succeeds("qemu-img", "snapshot", "-c", "tuesday", file);
        succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 3 100k 300k", "-c", "write -z 2M 200k", file);
    }

    private static String list(Path image) {
        return succeeds("qemu-img", "snapshot", "-l", image);
    }

    @Test
    void theyAreSaidAndTakenAlong() throws Exception {
        try (FerryHost host = FerryHost.started()) {
            disk(host, "vm");
            byte[] now = content(host, fast(host, "vm.qcow2"));
            byte[] monday = content(host, fast(host, "vm.qcow2"), "monday");
            byte[] tuesday = content(host, fast(host, "vm.qcow2"), "tuesday");
            String before = list(fast(host, "vm.qcow2"));
            host.run("migrate", "vm", "--to", "slow")
                    .failed(1, "2 internal snapshots (monday, tuesday)", "--with-snapshots", "--drop-snapshots");
            host.run("migrate", "vm", "--to", "slow", "--grace", "1h").failed(1, "2 internal snapshots");
            host.run("migrate", "vm", "--to", "slow", "--with-snapshots", "--drop-snapshots")
                    .failed(2, "taken along or given up");
            host.run("migrate", "vm", "--to", "slow", "--with-snapshots", "--format", "raw")
                    .failed(2, "2 internal snapshots", "a disk in format raw holds none");
            host.run("migrate", "vm", "--to", "slow", "--with-snapshots", "--mode", "snapshot")
                    .failed(2, "--mode snapshot does not take them along");
            FerryHost.Result nogo = host.run("migrate", "vm", "--to", "slow", "--dry-run");
            assertThat(nogo.status()).isEqualTo(1);
            assertThat(nogo.err()).contains("2 internal snapshots (monday, tuesday)");
            assertThat(host.run("migrate", "vm", "--to", "slow", "--with-snapshots", "--dry-run")
                            .done()
                            .out())
                    .contains("snapshots 2 (monday, tuesday): ");
            assertThat(names(host.directory.resolve("slow"))).isEmpty();
            assertThat(host.run("migrate", "vm", "--to", "slow", "--with-snapshots")
                            .done()
                            .out())
                    .contains("with    2 internal snapshots of vm; proven equal");
            assertThat(host.run("migration", "show", "m1").done().out()).contains("snapshots 2 of vm (", "copied");
            JsonNode told = host.run("migration", "show", "m1", "--json").done().json();
            assertThat(told.path("internalSnapshots").get(0).path("count").asInt())
                    .isEqualTo(2);
            assertThat(names(host.directory.resolve("fast"))).isEmpty();
            Path moved = slow(host, "vm.qcow2");
            assertThat(succeeds("qemu-img", "check", moved)).contains("No errors");
            assertThat(list(moved)).isEqualTo(before);
            assertThat(Arrays.mismatch(content(host, moved), now)).isEqualTo(-1);
            assertThat(Arrays.mismatch(content(host, moved, "monday"), monday)).isEqualTo(-1);
            assertThat(Arrays.mismatch(content(host, moved, "tuesday"), tuesday))
                    .isEqualTo(-1);
            host.run("migrate", "vm", "--to", "fast", "--drop-snapshots").done();
            assertThat(list(fast(host, "vm.qcow2"))).isEmpty();
            assertThat(Arrays.mismatch(content(host, fast(host, "vm.qcow2")), now))
                    .isEqualTo(-1);
        }
    }

    /** Monitor commands to a machine that stands still; what it said. */
    private static String machine(Path disk, List<String> options, String... commands) throws Exception {
        List<String> command = new ArrayList<>(List.of(
                Requires.program("qemu-system-x86_64").toString(),
                "-nodefaults",
                "-no-user-config",
                "-machine",
                "q35,accel=tcg",
                "-m",
                "32",
                "-display",
                "none",
                "-S",
                "-monitor",
                "stdio",
                "-drive",
                "if=none,id=disk,format=qcow2,file=" + disk,
                "-device",
                "virtio-blk-pci,drive=disk"));
        command.addAll(options);
        Path said = Files.createTempFile("machine", ".txt");
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(said.toFile())
                    .start();
            process.getOutputStream()
                    .write((String.join("\n", commands) + "\nquit\n").getBytes(StandardCharsets.UTF_8));
            process.getOutputStream().close();
            if (!process.waitFor(120, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new AssertionError("the machine does not end: " + Files.readString(said));
            }
            String words = Files.readString(said);
            assertThat(process.exitValue()).as(words).isZero();
            return words;
        } finally {
            Files.delete(said);
        }
    }

    @Test
    void aMachineGoesOnFromItsStateAtTheTarget() throws Exception {
        try (FerryHost host = FerryHost.started()) {
            disk(host, "vm");
            Path old = fast(host, "vm.qcow2");
            machine(old, List.of(), "savevm running");
            succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 1M", old);
            String before = list(old);
            assertThat(before).contains("running");
            byte[] then = content(host, old, "running");
            byte[] now = content(host, old);
            host.run("migrate", "vm", "--to", "slow", "--with-snapshots").done();
            Path moved = slow(host, "vm.qcow2");
            assertThat(succeeds("qemu-img", "check", moved)).contains("No errors");
            assertThat(list(moved)).isEqualTo(before);
            assertThat(Arrays.mismatch(content(host, moved), now)).isEqualTo(-1);
            assertThat(machine(moved, List.of("-loadvm", "running"), "info snapshots", "info status"))
                    .contains("running", "VM status: paused")
                    .doesNotContain("Error", "error");
            assertThat(Arrays.mismatch(content(host, moved), then)).isEqualTo(-1);
            assertThat(succeeds("qemu-img", "check", moved)).contains("No errors");
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void itGoesOnWhenTheDaemonIsKilledUnderAGuest(boolean whileSnapshots) throws Exception {
        try (FerryHost host = FerryHost.started()) {
            disk(host, "vm");
            Path old = fast(host, "vm.qcow2");
            byte[] monday = content(host, old, "monday");
            byte[] tuesday = content(host, old, "tuesday");
            String before = list(old);
            byte[] now = content(host, old);
            assertThat(now).hasSize(SIZE);
            String uri = host.run("disk", "attach", "vm").done().out().strip();
            try (TortureGuest guest = new TortureGuest(uri, now, 3)) {
                after(guest, 20);
                host.run("migrate", "vm", "--to", "slow", "--with-snapshots", "--rate", "1M", "--detach")
                        .done();
                FerryHost.until(() -> {
                    JsonNode told = migration(host);
                    boolean snapshots = told.path("phase").asString().equals("create");
                    return told.path("doneBytes").asLong() > 0 && (whileSnapshots || !snapshots);
                });
                after(guest, 20);
                host.killDaemon();
                after(guest, 20);
                host.run("migration", "rate", "m1", "0");
                FerryHost.until(() -> {
                    JsonNode told = migration(host);
                    assertThat(told.path("state").asString())
                            .as(told.toString())
                            .isNotEqualTo("failed");
                    return told.path("state").asString().equals("done");
                });
                after(guest, 20);
                guest.stopAndRead();
                host.run("disk", "detach", "vm").done();
                assertThat(names(host.directory.resolve("fast"))).isEmpty();
                Path moved = slow(host, "vm.qcow2");
                succeeds("qemu-img", "check", "-r", "leaks", moved);
                assertThat(list(moved)).isEqualTo(before);
                assertThat(Arrays.mismatch(content(host, moved, "monday"), monday))
                        .isEqualTo(-1);
                assertThat(Arrays.mismatch(content(host, moved, "tuesday"), tuesday))
                        .isEqualTo(-1);
                Path plain = host.directory.resolve("plain.raw");
                Files.write(plain, content(host, moved));
                guest.checkFile(plain);
            }
        }
    }

    private static JsonNode migration(FerryHost host) {
        return host.run("migration", "show", "m1", "--json").done().json();
    }

    private static void after(TortureGuest guest, int operations) {
        long wanted = guest.operations.get() + operations;
        FerryHost.until(() -> {
            guest.assertWell();
            return guest.operations.get() >= wanted;
        });
    }
}
