package dev.ferry.bench;

import dev.ferry.migration.Strategy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import tools.jackson.databind.JsonNode;

/**
 * Moves a disk full of data by each strategy, under each of the loads of {@link StrategyLoad}, one move after the other, by
 * one daemon. The copies are not compared, so that what is measured is the strategy alone. A move that has not ended after
 * a minute and says that it will not converge is changed to a mirror, as its user would do, and is marked.
 */
final class StrategyBench implements Callable<StrategyReport> {
    private static final long SIZE = 512L << 20;
    private static final int WARM_UP_SECONDS = 1;
    private static final long AFTER_MILLIS = 500;
    private static final long POLL_MILLIS = 50;
    private static final long PATIENCE_NANOS = 60_000_000_000L;
    private static final long LIMIT_NANOS = 600_000_000_000L;
    private static final String DISK = "disk";

    private final BenchOptions options;
    private boolean atSecond;

    StrategyBench(BenchOptions options) {
        this.options = options;
    }

    @Override
    public StrategyReport call() throws IOException, InterruptedException {
        Path directory = options.diskDirectories().getFirst();
        try (Workspace workspace = Workspace.below(directory)) {
            options.progress("making the disk on " + workspace.fileSystem());
            BenchFile file = BenchFile.write(workspace.path("data.raw"), options.sizeBytes(SIZE));
            StrategyReport report =
                    new StrategyReport(workspace.fileSystem(), file.sizeBytes(), options.rounds(), options.seconds());
            Path scratch = Files.createDirectory(workspace.path("ferry"));
            try (FerryDaemon daemon = new FerryDaemon(options, scratch, "--direct")) {
                daemon.addDatastore("first");
                daemon.addDatastore("second");
                String image = file.path().toString();
                daemon.run("disk", "import", DISK, "--datastore", "first", "--from", image);
                String uri = daemon.json("disk", "attach", DISK).path("uri").asString();
                for (StrategyLoad load : StrategyLoad.ALL) {
                    if (options.chosen(load.name())) {
                        measure(workspace, daemon, uri, file.sizeBytes(), load, report);
                    }
                }
            }
            return report;
        }
    }

    private void measure(
            Workspace workspace,
            FerryDaemon daemon,
            String uri,
            long sizeBytes,
            StrategyLoad load,
            StrategyReport report)
            throws IOException, InterruptedException {
        Strategy[] strategies = Strategy.values();
        List<List<StrategySample>> rounds = new ArrayList<>();
        for (Strategy ignored : strategies) {
            rounds.add(new ArrayList<>());
        }
        for (int round = 0; round < options.rounds(); round++) {
            for (int turn = 0; turn < strategies.length; turn++) {
                int index = (round + turn) % strategies.length;
                StrategySample sample = sample(workspace, daemon, uri, sizeBytes, load, strategies[index]);
                rounds.get(index).add(sample);
                options.progress(String.format(
                        Locale.ROOT,
                        "%s, round %d, %s: %.2f s, held %.1f ms, IOPS %,.0f then %,.0f, lost %.2f s, %.0f MiB moved, %s",
                        load.name(),
                        round + 1,
                        sample.strategy(),
                        sample.seconds(),
                        sample.downtimeMillis(),
                        sample.iopsBefore(),
                        sample.iopsDuring(),
                        sample.lostSeconds(),
                        sample.movedMib(),
                        sample.ended()));
            }
        }
        rounds.forEach(of -> report.add(StrategySample.median(of)));
    }

    private StrategySample sample(
            Workspace workspace, FerryDaemon daemon, String uri, long sizeBytes, StrategyLoad load, Strategy strategy)
            throws IOException, InterruptedException {
        // What earlier moves left in the page cache is not to be written during this one.
        Program.run(workspace.directory(), List.of("sync"));
        GuestLoad guest = new GuestLoad(workspace.directory(), uri, sizeBytes, load.fio());
        try {
            TimeUnit.SECONDS.sleep(WARM_UP_SECONDS);
            long beforeMillis = System.currentTimeMillis();
            TimeUnit.SECONDS.sleep(options.seconds());
            String to = atSecond ? "first" : "second";
            atSecond = !atSecond;
            String id = daemon.json("migrate", DISK, "--to", to, "--mode", strategy.text(), "--no-verify", "--detach")
                    .path("id")
                    .asString();
            boolean changed = await(daemon, id);
            TimeUnit.MILLISECONDS.sleep(AFTER_MILLIS);
            GuestLoad.Trace trace = guest.stop();
            JsonNode move = daemon.json("migration", "show", id);
            long begin = Instant.parse(move.path("startedAt").asString()).toEpochMilli();
            long end = Instant.parse(move.path("endedAt").asString()).toEpochMilli();
            JsonNode disk = move.path("disks").path(0);
            return new StrategySample(
                    load.name(),
                    strategy.text(),
                    changed ? "as a mirror" : "done",
                    move.path("seconds").asDouble(),
                    disk.path("switchoverPauseMillis").asDouble(),
                    trace.perSecond(beforeMillis, begin),
                    trace.perSecond(begin, end),
                    trace.p99Micros(beforeMillis, begin),
                    trace.p99Micros(begin, end),
                    disk.path("bytesCopied").asDouble()
                            + disk.path("bytesMirrored").asDouble());
        } finally {
            guest.kill();
        }
    }

    /** @return true if it had to be changed to a mirror */
    private static boolean await(FerryDaemon daemon, String id) throws InterruptedException {
        long begun = System.nanoTime();
        boolean changed = false;
        while (true) {
            JsonNode move = daemon.json("migration", "show", id);
            String state = move.path("state").asString();
            if (state.equals("done")) {
                return changed;
            }
            long passed = System.nanoTime() - begun;
            if (passed > LIMIT_NANOS || !(state.equals("running") || state.equals("switched"))) {
                throw new BenchException("the move does not end, or not well: " + move);
            }
            boolean hopeless = move.path("convergence").isObject()
                    && !move.path("convergence").path("converges").asBoolean();
            if (!changed && hopeless && passed > PATIENCE_NANOS) {
                daemon.run("migration", "mode", id, "mirror");
                changed = true;
            }
            TimeUnit.MILLISECONDS.sleep(POLL_MILLIS);
        }
    }
}
