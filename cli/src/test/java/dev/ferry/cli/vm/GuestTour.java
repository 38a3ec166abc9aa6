package dev.ferry.cli.vm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.cli.FerryHost;
import dev.ferry.cli.Installation;
import dev.ferry.cli.Self;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/**
 * A guest whose disk tours the formats: it boots from it by its BIOS, works on it while it is converted from one format to the next,
 * and powers off; QEMU's tools then read the disk, and the next boot finds on it all that this one wrote. One thread.
 */
final class GuestTour {
    /** All that a disk of the daemon can be. A disk of the daemon in VMDK is monolithicSparse. */
    static final List<String> FORMATS = List.of("raw", "qcow2", "vmdk", "vhd", "vhdx");

    private static final int TICKS_BETWEEN = 10;
    private static final int TICKS_WITHIN = 5;
    private static final long GAP_MILLIS_MAX = 10_000;

    private final FerryHost host;
    private final String name;
    private final Path directory;
    private int boots;
    private Map<String, String> sums = Map.of();

    /**
     * Makes the disk, of the daemon and in raw.
     *
     * @param image what it holds, made by {@link BootDisk}
     * @param directory for what the guest and the host leave
     */
    GuestTour(FerryHost host, String name, Path image, Path directory) {
        this.host = host;
        this.name = name;
        this.directory = directory;
        host.run("disk", "import", name, "--datastore", "fast", "--from", image.toString())
                .done();
    }

    /** Converts the disk while nobody uses it. */
    void convert(String format) {
        host.run("migrate", name, "--to", otherStore(), "--format", format).done();
    }

    /**
     * Boots the guest from the disk in the format that it is in, has the disk converted to each of {@code formats} in turn while the
     * guest works, and proves it after the guest has powered off.
     */
    void boot(List<String> formats) throws Exception {
        String uri = host.run("disk", "attach", name).done().out().strip();
        try (GuestMachine guest = GuestMachine.fromDisk(newDirectory(), uri)) {
            begin(guest);
            for (String format : formats) {
                guest.awaitTicks(TICKS_BETWEEN);
                convertUnder(guest, format);
            }
            guest.awaitTicks(TICKS_BETWEEN);
            end(guest);
            Path file = Path.of(shown().path("path").asString());
            String format = shown().path("format").asString();
            host.run("disk", "detach", name).done();
            prove(file, format);
        }
    }

    /** Slow until the guest has written on, then as fast as it goes. */
    private void convertUnder(GuestMachine guest, String format) {
        String store = otherStore();
        guest.beginGaps();
        String id = host.run("migrate", name, "--to", store, "--format", format, "--rate", "1M", "--detach")
                .done()
                .out()
                .strip();
        guest.awaitTicks(TICKS_WITHIN);
        host.run("migration", "rate", id, "0").done();
        host.run("migration", "watch", id).done();
        assertThat(guest.longestGapMillis()).as("longest stall of the guest").isLessThan(GAP_MILLIS_MAX);
        assertThat(shown().path("format").asString()).isEqualTo(format);
        assertThat(shown().path("datastore").asString()).isEqualTo(store);
    }

    /** Boots the guest from a copy of the disk that is a flat VMDK, which only {@code nbd serve} has: the daemon's are sparse. */
    void bootFromFlatVmdk() throws Exception {
        Path flat = directory.resolve("flat.vmdk");
        List<String> words =
                new ArrayList<>(List.of("image", "convert", shown().path("path").asString()));
        words.addAll(
                List.of(flat.toString(), "--from-format", shown().path("format").asString()));
        words.addAll(List.of("--format", "vmdk", "--subformat", "monolithicFlat"));
        FerryHost.bare(words.toArray(String[]::new)).done();
        Path socket = directory.resolve("flat.sock");
        Process server = serve(flat, socket);
        try (GuestMachine guest = GuestMachine.fromDisk(newDirectory(), "nbd+unix:///" + name + "?socket=" + socket)) {
            begin(guest);
            guest.awaitTicks(TICKS_BETWEEN);
            end(guest);
        } finally {
            server.destroy();
            server.waitFor();
        }
        prove(flat, "vmdk");
    }

    private Process serve(Path image, Path socket) throws IOException {
        List<String> words = new ArrayList<>(List.of("nbd", "serve", image.toString(), "--format", "vmdk"));
        words.addAll(List.of("--socket", socket.toString(), "--export", name));
        Path log = directory.resolve("serve.log");
        Process server = new ProcessBuilder(Installation.command(Self.Part.DAEMON, words))
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        FerryHost.until(() -> !server.isAlive() || Files.exists(socket));
        assertThat(server.isAlive()).as(Files.readString(log)).isTrue();
        return server;
    }

    private void begin(GuestMachine guest) {
        guest.awaitReady();
        assertThat(guest.lineStartingWith("guest: found "))
                .as("files of the last time: %s", guest.consoleLines())
                .hasValue(Integer.toString(sums.size()));
    }

    private void end(GuestMachine guest) throws Exception {
        assertThat(guest.stop())
                .as("%s%n%s", String.join("\n", guest.consoleLines()), host.lastWords())
                .startsWith("clean ");
        sums = GuestProof.sums(guest);
    }

    /** Nobody has the file open any more. */
    private void prove(Path file, String format) throws Exception {
        Path plain = directory.resolve("plain" + boots + ".raw");
        String theirs = format.equals("vhd") ? "vpc" : format;
        Stranger.succeeds("qemu-img", "convert", "-f", theirs, "-O", "raw", file, plain);
        Path root = directory.resolve("root" + boots + ".ext4");
        BootDisk.copyRoot(plain, root);
        GuestProof.holds(root, "/work", sums, directory);
        Files.delete(plain);
        Files.delete(root);
    }

    private Path newDirectory() throws IOException {
        return Files.createDirectory(directory.resolve("boot" + ++boots));
    }

    private JsonNode shown() {
        return host.run("disk", "show", name, "--json").done().json();
    }

    private String otherStore() {
        return shown().path("datastore").asString().equals("fast") ? "slow" : "fast";
    }
}
