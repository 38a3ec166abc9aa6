package dev.ferry.cli.vm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.cli.FerryHost;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** The disk of a real, working virtual machine moves, and its daemon dies, and the guest does not notice. */
@Tag("slow")
@Tag("alone")
@Timeout(600)
final class MachineMoveTest {
    /** Writes of the guest while its disk moves slowly; then it moves as fast as it goes. */
    private static final int TICKS_DURING = 20;

    @TempDir
    private static Path shared;

    private static GuestImage image;

    @BeforeAll
    static void makeGuest() throws IOException {
        GuestImage.require();
        image = GuestImage.make(shared);
    }

    @Test
    void theDiskOfAWorkingGuestMovesTwice(@TempDir Path directory) throws Exception {
        try (FerryHost ferry = FerryHost.started()) {
            Path third = Files.createDirectory(ferry.directory.resolve("third"));
            ferry.run("datastore", "add", "third", "--kind", "dir", "--path", third.toString())
                    .done();
            try (GuestMachine guest = GuestMachine.of(image, directory, 1, makeDisk(ferry))) {
                guest.awaitReady();
                guest.awaitTicks(60);
                for (String datastore : List.of("slow", "third")) {
                    long ticksBefore = guest.ticks();
                    guest.beginGaps();
                    String id = ferry.run("migrate", "machine", "--to", datastore, "--rate", "1M", "--detach")
                            .done()
                            .out()
                            .strip();
                    guest.awaitTicks(TICKS_DURING);
                    ferry.run("migration", "rate", id, "0").done();
                    ferry.run("migration", "watch", id).done();
                    JsonNode move =
                            ferry.run("migration", "show", id, "--json").done().json();
                    assertThat(move.path("state").asString())
                            .as(move.toString())
                            .isEqualTo("done");
                    assertThat(guest.ticks() - ticksBefore)
                            .as("writes during the move")
                            .isPositive();
                    assertThat(guest.longestGapMillis())
                            .as("longest stall of the guest")
                            .isLessThan(3_000);
                    assertThat(disk(ferry).path("datastore").asString()).isEqualTo(datastore);
                    guest.awaitTicks(20);
                }
                assertThat(guest.stop()).as(report(guest, ferry)).startsWith("clean ");
                Path disk = Path.of(disk(ferry).path("path").asString());
                assertThat(disk).startsWithRaw(third);
                ferry.run("disk", "detach", "machine").done();
                GuestProof.holds(disk, "/", GuestProof.sums(guest), directory);
                for (String left : List.of("fast", "slow")) {
                    assertThat(GuestProof.filesIn(ferry.directory.resolve(left)))
                            .as("the source is gone")
                            .isEmpty();
                }
            }
        }
    }

    @Test
    void aKilledDaemonCostsTheGuestTheOutageAndNoError(@TempDir Path directory) throws Exception {
        try (FerryHost ferry = FerryHost.started()) {
            try (GuestMachine guest = GuestMachine.of(image, directory, 2, makeDisk(ferry))) {
                guest.awaitReady();
                for (int round = 0; round < 3; round++) {
                    guest.awaitTicks(40);
                    guest.beginGaps();
                    long begin = System.nanoTime();
                    ferry.killDaemon();
                    // A command waits for the daemon that comes.
                    ferry.run("disk", "ls").done();
                    long outageMillis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
                    guest.awaitTicks(5);
                    assertThat(guest.longestGapMillis())
                            .as("stall of the guest, for an outage of %d ms", outageMillis)
                            .isLessThan(outageMillis + 3_000);
                }
                assertThat(guest.stop()).as(report(guest, ferry)).startsWith("clean ");
                Path disk = Path.of(disk(ferry).path("path").asString());
                ferry.run("disk", "detach", "machine").done();
                GuestProof.holds(disk, "/", GuestProof.sums(guest), directory);
            }
        }
    }

    private static String makeDisk(FerryHost ferry) {
        ferry.run("disk", "create", "machine", "--datastore", "fast", "--size", "512M")
                .done();
        return ferry.run("disk", "attach", "machine").done().out().strip();
    }

    private static JsonNode disk(FerryHost ferry) {
        return ferry.run("disk", "show", "machine", "--json").done().json();
    }

    static String report(GuestMachine guest, FerryHost ferry) {
        return String.join("\n", guest.consoleLines()) + "\n" + ferry.lastWords();
    }
}
