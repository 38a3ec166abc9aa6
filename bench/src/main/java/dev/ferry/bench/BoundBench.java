package dev.ferry.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/**
 * Whether {@code --max-added-latency 2} holds: in how many of the seconds of a move under a paced load the guest's 99th percentile
 * is above that of the seconds before by no more than 2 ms; and in how many of the seconds before, since a disk has bad seconds
 * of its own.
 */
final class BoundBench implements Callable<Report> {
    private static final long SIZE = 1L << 30;
    private static final int PACE = 2000;
    private static final int ADDED_MILLIS = 2;
    private static final int WARM_UP_SECONDS = 2;
    private static final int WINDOW_MILLIS = 1000;
    private static final Goal SHARE = new Goal.AtLeast(0.95);

    private final BenchOptions options;
    private final Report report = new Report();

    BoundBench(BenchOptions options) {
        this.options = options;
    }

    /** @param control the share of the seconds before the move that are within the bound: what is above it is not the move's doing */
    private record Sample(double share, double control, double seconds, double p99BeforeMillis) {}

    @Override
    public Report call() throws IOException, InterruptedException {
        for (Path directory : options.diskDirectories()) {
            try (Workspace workspace = Workspace.below(directory)) {
                BenchFile file = BenchFile.write(workspace.path("data.raw"), options.sizeBytes(SIZE));
                List<Sample> samples = new ArrayList<>();
                FerryMover mover =
                        new FerryMover(options, workspace, file, "--max-added-latency", Integer.toString(ADDED_MILLIS));
                try {
                    for (int round = 0; round < options.rounds(); round++) {
                        samples.add(sample(workspace, file, mover));
                        options.progress("round " + (round + 1) + ": " + samples.getLast());
                    }
                } finally {
                    mover.close();
                }
                report(workspace.fileSystem() + " direct", samples);
            }
        }
        return report;
    }

    private Sample sample(Workspace workspace, BenchFile file, FerryMover mover)
            throws IOException, InterruptedException {
        Program.run(workspace.directory(), List.of("sync"));
        GuestLoad load = new GuestLoad(workspace.directory(), mover.open(), file.sizeBytes(), PACE);
        try {
            TimeUnit.SECONDS.sleep(WARM_UP_SECONDS);
            long before = System.currentTimeMillis();
            TimeUnit.SECONDS.sleep(options.seconds());
            Mover.Move move = mover.move();
            GuestLoad.Trace trace = load.stop();
            double usualMicros = trace.p99Micros(before, move.beginMillis());
            return new Sample(
                    within(trace, move.beginMillis(), move.endMillis(), usualMicros),
                    within(trace, before, move.beginMillis(), usualMicros),
                    move.seconds(),
                    usualMicros / 1000);
        } catch (IOException | InterruptedException | RuntimeException e) {
            load.kill();
            throw e;
        }
    }

    /** Share of the whole seconds between two instants in which the 99th percentile is within the bound. */
    private static double within(GuestLoad.Trace trace, long begin, long end, double usualMicros) {
        int windows = 0;
        int within = 0;
        for (long from = begin; from + WINDOW_MILLIS <= end; from += WINDOW_MILLIS, windows++) {
            double added = trace.p99Micros(from, from + WINDOW_MILLIS) - usualMicros;
            within += added <= ADDED_MILLIS * 1000.0 ? 1 : 0;
        }
        return windows == 0 ? Double.NaN : (double) within / windows;
    }

    private void report(String where, List<Sample> samples) {
        String what = String.format(Locale.ROOT, "move with --max-added-latency %d, %,d a second", ADDED_MILLIS, PACE);
        double share = Median.of(samples, Sample::share);
        double seconds = Median.of(samples, Sample::seconds);
        double usual = Median.of(samples, Sample::p99BeforeMillis);
        report.add(new Comparison(where, what, "share of seconds within", share, "", 0, share, SHARE));
        double control = Median.of(samples, Sample::control);
        report.add(new Comparison(where, what, "the same before it", control, "", 0, control, new Goal.None()));
        report.add(new Comparison(where, what, "time s", seconds, "", 0, seconds, new Goal.None()));
        report.add(new Comparison(where, what, "p99 before ms", usual, "", 0, usual, new Goal.None()));
    }
}
