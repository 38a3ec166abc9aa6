package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Requires;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.locks.LockSupport;
import tools.jackson.databind.JsonNode;

/**
 * A real daemon that is killed again and again, at random instants and in the switch, while a disk moves to and fro, by one
 * strategy or another and from one format into another, and a guest works on it. Each start must go on with the move; in the end every byte is checked, and nothing is left behind.
 *
 * <p>By hand: {@code ./trial torture KILLS [SEED]}.
 */
final class Torture {
    private static final String SIZE = "48M";
    private static final long SIZE_BYTES = 48L << 20;
    private static final List<String> MODES = List.of("mirror", "tracking", "snapshot");
    /** Between raw files what was copied outlives a kill at once, elsewhere from the next checkpoint on: half of them are raw. */
    private static final List<String> FORMATS =
            List.of("raw", "raw", "raw", "raw", "raw", "raw", "qcow2", "qcow2", "qcow2", "vmdk", "vhd", "vhdx");

    private static final int CHECKPOINT_MILLIS = 5000;

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
                guest.stopAndRead();
                torture.checkLeftovers();
                guest.checkFile(torture.plain());
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
                LockSupport.parkNanos(random.nextInt(random.nextInt(8) > 0 ? 900 : 2 * CHECKPOINT_MILLIS) * 1_000_000L);
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
        String rate = (4 + random.nextInt(60)) + "M";
        String mode = MODES.get(random.nextInt(MODES.size()));
        String format = FORMATS.get(random.nextInt(FORMATS.size()));
        List<String> command = new ArrayList<>(
                List.of("migrate", "vm", "--to", to, "--format", format, "--mode", mode, "--rate", rate));
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

    /** The disk as a stranger reads it from its file, once the daemon has let go of it. */
    private Path plain() throws Exception {
        JsonNode disk = disk();
        host.stop();
        String format = disk.path("format").asString();
        String file = disk.path("path").asString();
        switch (format) {
            case "qcow2" -> qemuImg("check", "-r", "leaks", "-f", format, file);
            case "vmdk", "vhdx" -> qemuImg("check", "-f", format, file);
            case "vhd" -> format = "vpc";
            default -> assertThat(format).isEqualTo("raw");
        }
        Path plain = host.directory.resolve("plain");
        qemuImg("convert", "-f", format, "-O", "raw", file, plain.toString());
        return plain;
    }

    private static void qemuImg(String... words) throws Exception {
        List<String> command = new ArrayList<>(List.of(words));
        command.addFirst(Requires.program("qemu-img").toString());
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as("%s: %s", command, said).isZero();
    }

    private void checkLeftovers() {
        String here = disk().path("datastore").asString();
        String there = here.equals("fast") ? "slow" : "fast";
        assertThat(host.directory.resolve(there)).isEmptyDirectory();
        assertThat(host.directory.resolve(here).toFile().list())
                .containsExactly(
                        Path.of(disk().path("path").asString()).getFileName().toString());
        assertThat(host.data.resolve("journal").toFile().list())
                .noneMatch(name -> name.endsWith(".map") || name.endsWith(".live"));
    }
}
