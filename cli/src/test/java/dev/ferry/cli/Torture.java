package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.locks.LockSupport;
import tools.jackson.databind.JsonNode;

/**
 * A real daemon that is killed again and again, at random instants and in the switch, while a disk moves to and fro, by one
 * strategy or another, and a guest works on it. Each start must go on with the move; in the end every byte is checked, and nothing is left behind.
 *
 * <p>By hand: {@code ./trial torture KILLS [SEED]}.
 */
final class Torture {
    private static final String SIZE = "48M";
    private static final long SIZE_BYTES = 48L << 20;

    private final FerryHost host;
    private final SplittableRandom random;
    private int moves;
    private int switches;
    private int resumes;
    private long keptBytes;
    private long againBytes;

    private Torture(FerryHost host, long seed) {
        this.host = host;
        this.random = new SplittableRandom(seed);
    }

    public static void main(String[] arguments) throws Exception {
        int kills = Integer.parseInt(arguments[0]);
        long seed = arguments.length > 1 ? Long.parseLong(arguments[1]) : System.nanoTime();
        System.out.println(run(kills, seed));
    }

    /** @return what was done, in one line */
    static String run(int kills, long seed) throws Exception {
        try (FerryHost host = FerryHost.started()) {
            host.run("disk", "create", "vm", "--datastore", "fast", "--size", SIZE)
                    .done();
            String uri = host.run("disk", "attach", "vm").done().out().strip();
            try (TortureGuest guest = new TortureGuest(uri, SIZE_BYTES, seed)) {
                Torture torture = new Torture(host, seed);
                torture.kill(kills, guest);
                torture.settle();
                guest.stopAndCheck(Path.of(torture.disk().path("path").asString()));
                torture.checkLeftovers();
                return String.format(
                        "seed %d: %d kills (%d about the switch), %d moves, %d times resumed, %d MiB kept, %d MiB copied again, %d requests, %d"
                                + " reconnections: every byte is right",
                        seed,
                        kills,
                        torture.switches,
                        torture.moves,
                        torture.resumes,
                        torture.keptBytes >> 20,
                        torture.againBytes >> 20,
                        guest.operations.get(),
                        guest.reconnections.get());
            } catch (AssertionError | RuntimeException failure) {
                throw new AssertionError(
                        "seed " + seed + ": " + failure.getMessage() + "\n" + host.lastWords(), failure);
            }
        }
    }

    private JsonNode disk() {
        return host.run("disk", "show", "vm", "--json").done().json();
    }

    private JsonNode last() {
        JsonNode all = host.run("migration", "ls", "--json").done().json();
        return all.get(all.size() - 1);
    }

    private void kill(int kills, TortureGuest guest) throws Exception {
        for (int i = 0; i < kills; i++) {
            startIfNoneRuns();
            if (random.nextInt(4) == 0) {
                waitForTheSwitch();
                switches++;
                LockSupport.parkNanos(random.nextInt(20) * 1_000_000L);
            } else {
                LockSupport.parkNanos(random.nextInt(900) * 1_000_000L);
            }
            if (random.nextInt(8) == 0) {
                host.run("restart").done();
            } else {
                host.killDaemon();
            }
            FerryHost.until(() -> host.run("migration", "ls").status() == 0);
            note();
            guest.assertWell();
        }
    }

    private void startIfNoneRuns() {
        if (moves > 0 && !isOver(last())) {
            return;
        }
        String to = disk().path("datastore").asString().equals("fast") ? "slow" : "fast";
        String rate = (10 + random.nextInt(60)) + "M";
        String mode = List.of("mirror", "tracking", "snapshot").get(random.nextInt(3));
        List<String> command = new ArrayList<>(List.of("migrate", "vm", "--to", to, "--mode", mode, "--rate", rate));
        if (!mode.equals("mirror")) {
            // However busy the machine is, the guest can be held for what is left.
            command.addAll(List.of("--max-downtime", "20000"));
        }
        command.add("--detach");
        host.run(command.toArray(String[]::new)).done();
        moves++;
    }

    private static boolean isOver(JsonNode move) {
        String state = move.path("state").asString();
        assertThat(state).as(move.toString()).isIn("running", "paused", "parked", "switched", "done");
        return state.equals("done");
    }

    /** Until the copying has ended: it is verified and switched within milliseconds then. */
    private void waitForTheSwitch() {
        String id = last().path("id").asString();
        host.run("migration", "rate", id, "0");
        FerryHost.until(() -> {
            JsonNode move = last();
            return isOver(move) || !move.path("phase").asString().equals("copy");
        });
    }

    /** A move that was under way says what it kept. */
    private void note() {
        JsonNode resumed = last().path("resumed");
        if (resumed.isObject()) {
            resumes++;
            keptBytes += resumed.path("keptBytes").asLong();
            againBytes += Math.max(0, resumed.path("againBytes").asLong());
        }
    }

    private void settle() {
        if (!isOver(last())) {
            host.run("migration", "rate", last().path("id").asString(), "0");
        }
        FerryHost.until(() -> isOver(last()));
    }

    private void checkLeftovers() {
        String here = disk().path("datastore").asString();
        String there = here.equals("fast") ? "slow" : "fast";
        assertThat(host.directory.resolve(there)).isEmptyDirectory();
        assertThat(host.directory.resolve(here).toFile().list()).containsExactly("vm.raw");
        assertThat(host.data.resolve("journal").toFile().list())
                .noneMatch(name -> name.endsWith(".map") || name.endsWith(".live"));
    }
}
