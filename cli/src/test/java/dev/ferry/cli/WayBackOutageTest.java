package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/**
 * A real daemon, a guest that works through NBD and checks what it reads, and the way back: gone through, killed while it is
 * open, and killed while the guest goes back.
 */
@Timeout(300)
final class WayBackOutageTest {
    private static final String SIZE = "24M";
    private static final long SIZE_BYTES = 24L << 20;
    private static final int KILLS = 6;

    static JsonNode show(FerryHost host, String id) {
        return host.run("migration", "show", id, "--json").done().json();
    }

    static String start(FerryHost host, String... disks) {
        List<String> command = new ArrayList<>(List.of("migrate"));
        command.addAll(List.of(disks));
        command.addAll(List.of("--to", "slow", "--grace", "until-commit", "--detach"));
        return host.run(command.toArray(String[]::new)).done().out().strip();
    }

    static void untilInStep(FerryHost host, String id) {
        FerryHost.until(() -> {
            JsonNode move = show(host, id);
            return move.path("phase").asString().equals("keep")
                    && move.path("wayBack").path("inStep").asBoolean();
        });
    }

    static Path file(FerryHost host, String disk) {
        return Path.of(host.run("disk", "show", disk, "--json")
                .done()
                .json()
                .path("path")
                .asString());
    }

    private static void assertNothingIsLeft(FerryHost host, String datastore) {
        assertThat(host.directory.resolve(datastore)).isEmptyDirectory();
        assertThat(host.data.resolve("journal").toFile().list())
                .noneMatch(name -> name.endsWith(".map") || name.endsWith(".live"));
    }

    private interface Work {
        void with(FerryHost host, TortureGuest guest) throws Exception;
    }

    private static void withAGuest(Work work) throws Exception {
        try (FerryHost host = FerryHost.started()) {
            host.run("disk", "create", "vm", "--datastore", "fast", "--size", SIZE)
                    .done();
            String uri = host.run("disk", "attach", "vm").done().out().strip();
            try (TortureGuest guest = new TortureGuest(uri, SIZE_BYTES, 91)) {
                work.with(host, guest);
            }
        }
    }

    static void goOn(TortureGuest guest, int operations) {
        long goal = guest.operations.get() + operations;
        FerryHost.until(() -> {
            guest.assertWell();
            return guest.operations.get() >= goal;
        });
    }

    @Test
    void aGuestThatWorksThroughKillsWhileTheWayBackIsOpenGoesBackWithEveryByte() throws Exception {
        withAGuest((host, guest) -> {
            goOn(guest, 200);
            host.run("migrate", "vm", "--to", "slow", "--grace", "1h").done();
            assertThat(host.run("migration", "show", "m1").done().out()).contains("way back  open for", "in step");
            assertThat(host.run("migration", "verify", "m1").done().out()).contains("both sides are equal");
            goOn(guest, 200);
            for (int i = 0; i < 2; i++) {
                host.killDaemon();
                goOn(guest, 200);
                untilInStep(host, "m1");
            }
            host.run("datastore", "rm", "fast").failed(1, "is needed by migration m1");
            host.run("disk", "rm", "vm").failed(1, "vm");
            assertThat(host.run("migration", "rollback", "m1").done().out()).contains("disk vm is back on fast");
            goOn(guest, 200);
            guest.stopAndCheck(file(host, "vm"));
            assertThat(file(host, "vm"))
                    .startsWith(host.directory.resolve("fast").toRealPath());
            assertNothingIsLeft(host, "slow");
            host.run("migration", "commit", "m1").failed(1, "rolled-back");
        });
    }

    /** Whatever instant of a rollback the daemon is killed at, the guest is on one side with every byte, and can go on. */
    @Test
    void aKillWhileTheGuestGoesBackLeavesItOnOneSideWithEveryByte() throws Exception {
        withAGuest((host, guest) -> {
            SplittableRandom random = new SplittableRandom(92);
            int back = 0;
            for (int i = 0; i < KILLS; i++) {
                String id = start(host, "vm");
                untilInStep(host, id);
                goOn(guest, 50);
                CompletableFuture<?> going = CompletableFuture.runAsync(() -> host.run("migration", "rollback", id));
                long until = System.nanoTime() + random.nextLong(40_000_000L);
                FerryHost.until(() -> System.nanoTime() >= until);
                host.killDaemon();
                FerryHost.until(() -> host.run("migration", "ls").status() == 0);
                going.join();
                goOn(guest, 50);
                if (!show(host, id).path("state").asString().equals("rolled-back")) {
                    untilInStep(host, id);
                    host.run("migration", "rollback", id).done();
                } else {
                    back++;
                }
                assertThat(show(host, id).path("state").asString()).isEqualTo("rolled-back");
            }
            goOn(guest, 50);
            guest.stopAndCheck(file(host, "vm"));
            assertNothingIsLeft(host, "slow");
            System.out.println(KILLS + " kills while a guest goes back: " + back + " were back already");
        });
    }
}
