package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/**
 * The daemon goes away in each way there is, and comes back: disks stay attached where they were, what was acknowledged is
 * there, and a client that connects meanwhile waits instead of being refused.
 */
@Timeout(180)
final class OutageTest {
    private static final int DATA_BYTES = 4 << 20;

    static Path image(FerryHost host, int seed) throws IOException {
        byte[] bytes = new byte[DATA_BYTES];
        new Random(seed).nextBytes(bytes);
        return Files.write(host.directory.resolve("image" + seed), bytes);
    }

    static String disk(FerryHost host, String... attach) throws IOException {
        host.run(
                        "disk",
                        "import",
                        "vm",
                        "--datastore",
                        "fast",
                        "--from",
                        image(host, 1).toString())
                .done();
        String[] command = new String[attach.length + 3];
        System.arraycopy(new String[] {"disk", "attach", "vm"}, 0, command, 0, 3);
        System.arraycopy(attach, 0, command, 3, attach.length);
        return host.run(command).done().out().strip();
    }

    static void assertHolds(FerryHost host, String uri, Path image) {
        Path copy = host.directory.resolve("copy");
        host.run("nbd", "copy", uri, copy.toString()).done();
        assertThat(copy).hasSameBinaryContentAs(image);
    }

    @Test
    void aDaemonThatIsKilledIsReplacedBehindTheSameSockets() throws IOException {
        try (FerryHost host = FerryHost.started()) {
            String uri = disk(host);
            Path other = image(host, 2);
            host.run("nbd", "copy", other.toString(), uri).done();
            long killed = host.daemonPid();
            host.killDaemon();
            // At once: nobody accepts yet, but the listening socket is there, so this waits and is served.
            assertHolds(host, uri, other);
            assertThat(host.daemonPid()).isNotEqualTo(killed);
            assertThat(host.run("disk", "show", "vm").done().out()).contains("attached");
        }
    }

    @Test
    void commandsWaitForTheDaemonThatReplacesAKilledOne() throws IOException {
        try (FerryHost host = FerryHost.started()) {
            for (int round = 0; round < 4; round++) {
                host.killDaemon();
                String name = "disk" + round;
                host.run("disk", "create", name, "--datastore", "fast", "--size", "1M")
                        .done();
                host.run("disk", "attach", name).done();
                assertThat(host.run("disk", "ls").done().out()).contains(name);
                host.run("disk", "detach", name).done();
                host.run("disk", "rm", name).done();
            }
        }
    }

    @Test
    void aTcpPortOutlivesTheDaemonToo() throws IOException {
        try (FerryHost host = FerryHost.started()) {
            String uri = disk(host, "--tcp", "127.0.0.1:0");
            host.killDaemon();
            assertHolds(host, uri, image(host, 1));
            host.run("restart").done();
            assertHolds(host, uri, image(host, 1));
        }
    }

    @Test
    void aMoveGoesOnAfterAPlannedRestart() throws IOException {
        goesOn("a restart of the daemon", host -> host.run("restart").done());
    }

    @Test
    void aMoveGoesOnAfterAStopAndAStart() throws IOException {
        goesOn("a restart of the daemon", host -> {
            host.stop();
            host.start();
        });
    }

    @Test
    void aMoveGoesOnAfterAKill() throws IOException {
        goesOn("a restart of the daemon", FerryHost::killDaemon);
    }

    @Test
    void aMoveByTrackingGoesOnAfterAKill() throws IOException {
        goesOn("tracking", "a restart of the daemon", FerryHost::killDaemon);
    }

    /** What was written to the overlay is part of the disk at the next start, and the move goes on. */
    @Test
    void aMoveBySnapshotsGoesOnAfterAKill() throws IOException {
        try (FerryHost host = FerryHost.started()) {
            String uri = disk(host);
            host.run("migrate", "vm", "--to", "slow", "--mode", "snapshot", "--rate", "64K", "--detach")
                    .done();
            Path overlay = host.directory.resolve("fast/.vm.raw.overlay-1");
            FerryHost.until(() -> Files.exists(overlay));
            Path other = image(host, 3);
            host.run("nbd", "copy", other.toString(), uri).done();
            host.killDaemon();
            FerryHost.until(() -> show(host).path("resumed").isObject());
            assertHolds(host, uri, other);
            host.run("migration", "rate", "m1", "0").done();
            host.run("migration", "watch", "m1").done();
            assertHolds(host, uri, other);
            assertThat(host.directory.resolve("fast")).isEmptyDirectory();
        }
    }

    /** Changed while it runs, killed after that, and gone on with as what it has become. */
    @Test
    void aMoveByTrackingBecomesAMirrorAndStaysOne() throws IOException {
        try (FerryHost host = FerryHost.started()) {
            String uri = disk(host);
            host.run("migrate", "vm", "--to", "slow", "--mode", "tracking", "--rate", "64K", "--detach")
                    .done();
            assertThat(show(host).path("mode").asString()).isEqualTo("tracking");
            assertThat(host.run("migration", "mode", "m1", "mirror").done().out())
                    .contains("goes on in mode mirror");
            host.killDaemon();
            FerryHost.until(() -> show(host).path("resumed").isObject());
            assertThat(show(host).path("mode").asString()).isEqualTo("mirror");
            host.run("migration", "rate", "m1", "0").done();
            host.run("migration", "watch", "m1").done();
            assertHolds(host, uri, image(host, 1));
        }
    }

    private interface Outage {
        void happens(FerryHost host) throws IOException;
    }

    private static void goesOn(String why, Outage outage) throws IOException {
        goesOn("mirror", why, outage);
    }

    private static void goesOn(String mode, String why, Outage outage) throws IOException {
        try (FerryHost host = FerryHost.started()) {
            String uri = disk(host);
            host.run("migrate", "vm", "--to", "slow", "--mode", mode, "--rate", "1M", "--detach")
                    .done();
            FerryHost.until(() -> show(host).path("doneBytes").asLong() > DATA_BYTES / 3);
            // So that it is not over before the outage.
            host.run("migration", "rate", "m1", "16K").done();
            outage.happens(host);
            FerryHost.until(() -> show(host).path("resumed").isObject());
            JsonNode resumed = show(host).path("resumed");
            assertThat(resumed.path("told").asString()).contains("resumed after " + why);
            assertThat(resumed.path("keptBytes").asLong()).isPositive().isLessThan(DATA_BYTES);
            assertThat(host.run("migration", "show", "m1").done().out()).contains("resumed after");
            host.run("migration", "rate", "m1", "0").done();
            host.run("migration", "watch", "m1").done();
            assertHolds(host, uri, image(host, 1));
            assertThat(host.run("disk", "show", "vm", "--json")
                            .json()
                            .path("datastore")
                            .asString())
                    .isEqualTo("slow");
            assertThat(host.directory.resolve("fast")).isEmptyDirectory();
        }
    }

    private static JsonNode show(FerryHost host) {
        return host.run("migration", "show", "m1", "--json").done().json();
    }

    @Test
    void aRehearsalThatIsKilledLeavesNothing() throws Exception {
        try (FerryHost host = FerryHost.started()) {
            host.run("disk", "create", "vm", "--datastore", "fast", "--size", "1G")
                    .done();
            Thread rehearsal = Thread.ofPlatform().start(() -> host.run("migrate", "vm", "--to", "slow", "--dry-run"));
            Path slow = host.directory.resolve("slow");
            FerryHost.until(() -> !isEmpty(slow));
            host.killDaemon();
            rehearsal.join();
            FerryHost.until(() -> isEmpty(slow));
            host.run("migrate", "vm", "--to", "slow", "--dry-run").done();
            assertThat(slow).isEmptyDirectory();
        }
    }

    private static boolean isEmpty(Path directory) {
        String[] names = directory.toFile().list();
        return names == null || names.length == 0;
    }

    @Test
    void whatWasAttachedIsAttachedAfterAStop() throws IOException {
        try (FerryHost host = FerryHost.started()) {
            String uri = disk(host);
            host.stop();
            assertThat(host.data.resolve("ferry.sock")).doesNotExist();
            host.start();
            assertHolds(host, uri, image(host, 1));
        }
    }

    @Test
    void aDiskWhoseFileIsAwaySaysSoAndComesBack() throws IOException {
        try (FerryHost host = FerryHost.started()) {
            String uri = disk(host);
            Path file = host.directory.resolve("fast/vm.raw");
            Path aside = host.directory.resolve("aside");
            host.stop();
            Files.move(file, aside);
            host.start();
            assertThat(host.run("disk", "show", "vm").done().out()).contains("unavailable", file.toString());
            Files.move(aside, file);
            host.run("disk", "attach", "vm").done();
            assertHolds(host, uri, image(host, 1));
        }
    }
}
