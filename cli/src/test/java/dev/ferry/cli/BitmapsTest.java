package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/** Dirty bitmaps of the daemon's disks: what a guest changed is in them, wherever the disk went and whatever the daemon did. */
@Timeout(180)
final class BitmapsTest {
    private static final String SIZE = "16M";

    private final FerryHost host = open();

    private static FerryHost open() {
        try {
            return FerryHost.started();
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }

    @BeforeEach
    void makeDisk() {
        host.run("disk", "create", "vm", "--datastore", "fast", "--size", SIZE).done();
    }

    @AfterEach
    void stop() throws IOException {
        host.close();
    }

    private String attach() {
        return host.run("disk", "attach", "vm").done().out().strip();
    }

    private JsonNode bitmaps() {
        return host.run("disk", "bitmap", "ls", "vm", "--json").done().json();
    }

    private String state() {
        return bitmaps().get(0).path("state").asString();
    }

    private static void write(String uri, String... commands) throws IOException, InterruptedException {
        List<String> all = new ArrayList<>(List.of("-f", "raw"));
        for (String one : commands) {
            all.addAll(List.of("-c", one));
        }
        all.add(uri);
        String said = succeeds("qemu-io", all.toArray());
        assertThat(said).doesNotContain("failed");
    }

    /** Where a stranger sees that the disk was changed, in KiB. */
    private static List<String> dirty(String uri, String name) throws IOException, InterruptedException {
        return succeeds("nbdinfo", "--map=qemu:dirty-bitmap:" + name, uri)
                .lines()
                .map(line -> line.strip().split("\\s+"))
                .filter(columns -> columns[2].equals("1"))
                .map(columns -> Long.parseLong(columns[0]) / 1024 + "+" + Long.parseLong(columns[1]) / 1024)
                .toList();
    }

    private static List<String> contexts(String uri) throws IOException, InterruptedException {
        return succeeds("nbdinfo", uri)
                .lines()
                .map(String::strip)
                .filter(line -> line.startsWith("qemu:dirty-bitmap:"))
                .toList();
    }

    @Test
    void whatIsChangedIsMarkedFromWhenABitmapIsThereUntilItIsNot() throws Exception {
        String uri = attach();
        write(uri, "write 0 64k");
        JsonNode added = host.run("disk", "bitmap", "add", "vm", "nightly", "--json")
                .done()
                .json();
        assertThat(added.get(0).path("state").asString()).isEqualTo("recording");
        assertThat(added.get(0).path("dirtyBytes").asLong()).isZero();
        host.run("disk", "bitmap", "add", "vm", "fine one", "--granularity", "4K")
                .done();
        write(uri, "write 1M 1k", "discard 4M 64k", "write -z 6M 64k");
        assertThat(dirty(uri, "nightly")).containsExactly("1024+64", "4096+64", "6144+64");
        assertThat(dirty(uri, "fine one")).containsExactly("1024+4", "4096+64", "6144+64");
        assertThat(host.run("disk", "bitmap", "ls", "vm").done().out()).contains("nightly", "fine one", "recording");

        host.run("disk", "bitmap", "add", "vm", "nightly").failed(1, "has a bitmap nightly already");
        host.run("disk", "bitmap", "clear", "vm", "nightly").done();
        assertThat(dirty(uri, "nightly")).isEmpty();
        assertThat(dirty(uri, "fine one")).hasSize(3);
        host.run("disk", "bitmap", "remove", "vm", "fine one").done();
        assertThat(contexts(uri)).containsExactly("qemu:dirty-bitmap:nightly");
        host.run("disk", "bitmap", "clear", "vm", "fine one").failed(1, "has no bitmap fine one");

        host.run("disk", "detach", "vm").done();
        host.run("disk", "rm", "vm").done();
        host.run("disk", "create", "vm", "--datastore", "fast", "--size", SIZE).done();
        assertThat(bitmaps()).as("a new disk of an old name").isEmpty();
    }

    @Test
    void theyFollowTheDiskThroughMovesDetachingRestartsAndStops() throws Exception {
        host.run("disk", "bitmap", "add", "vm", "nightly").done();
        assertThat(state()).isEqualTo("kept");
        String uri = attach();
        write(uri, "write -P 1 0 64k");
        String id = host.run("migrate", "vm", "--to", "slow", "--format", "qcow2", "--grace", "1h", "--json")
                .done()
                .json()
                .path("id")
                .asString();
        write(uri, "write -P 2 2M 64k");
        host.run("migration", "rollback", id).done();
        write(uri, "write -P 3 4M 64k");
        List<String> expected = new ArrayList<>(List.of("0+64", "2048+64", "4096+64"));
        assertThat(dirty(uri, "nightly")).isEqualTo(expected);

        host.run("disk", "detach", "vm").done();
        assertThat(bitmaps().get(0).path("dirtyBytes").asLong()).isEqualTo(3 * 65536);
        host.run("migrate", "vm", "--to", "slow", "--format", "qcow2").done();
        uri = attach();
        write(uri, "write -P 4 6M 64k");
        expected.add("6144+64");
        assertThat(dirty(uri, "nightly")).isEqualTo(expected);

        host.run("restart").done();
        write(uri, "write -P 5 8M 64k");
        expected.add("8192+64");
        assertThat(dirty(uri, "nightly")).isEqualTo(expected);

        host.stop();
        host.start();
        assertThat(dirty(uri, "nightly")).isEqualTo(expected);
        assertThat(state()).isEqualTo("recording");
    }

    @Test
    void afterACrashTheyAreKnownToBeLost() throws Exception {
        String uri = attach();
        host.run("disk", "bitmap", "add", "vm", "nightly").done();
        host.run("disk", "bitmap", "add", "vm", "weekly").done();
        host.run("restart").done();
        assertThat(contexts(uri)).hasSize(2);
        write(uri, "write 1M 64k");
        long killed = host.daemonPid();
        host.killDaemon();
        FerryHost.until(() -> bitmaps().get(0).path("state").asString().equals("inconsistent"));
        assertThat(host.daemonPid()).isNotEqualTo(killed);
        assertThat(host.run("disk", "bitmap", "ls", "vm").done().out()).contains("inconsistent", "unknown");
        assertThat(contexts(uri)).isEmpty();
        // A planned restart does not make them any better.
        host.run("restart").done();
        assertThat(state()).isEqualTo("inconsistent");

        host.run("disk", "bitmap", "clear", "vm", "nightly").done();
        write(uri, "write 2M 64k");
        assertThat(dirty(uri, "nightly")).containsExactly("2048+64");
        host.run("disk", "bitmap", "remove", "vm", "weekly").done();
        assertThat(bitmaps()).hasSize(1);
        host.run("disk", "detach", "vm").done();
        assertThat(state()).isEqualTo("kept");
    }
}
