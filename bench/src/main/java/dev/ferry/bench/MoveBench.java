package dev.ferry.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.ToDoubleFunction;

/**
 * Moves a disk full of data under load, by Ferry and by QEMU's mirror in both of its copy modes, and holds what the guest
 * felt during the move against what it had just before it. The load is the same fio for all; so is the disk: O_DIRECT,
 * on one file system.
 */
final class MoveBench implements Callable<Report> {
    private static final long SIZE = 2L << 30;
    private static final int PACE = 5000;
    private static final int WARM_UP_SECONDS = 2;

    /** Writes that were caught by the switch-over are completed after it. */
    private static final long AFTER_MILLIS = 1000;

    private static final List<String> COPY_MODES = List.of("background", "write-blocking");

    private final BenchOptions options;
    private final Report report = new Report();

    MoveBench(BenchOptions options) {
        this.options = options;
    }

    /** One move of one mover, and what the guest felt. */
    private record Sample(
            double seconds,
            double iopsBefore,
            double iopsDuring,
            double p99Before,
            double p99During,
            double longestMillis,
            double pauseMillis) {
        double share() {
            return iopsDuring / iopsBefore;
        }

        double slowdown() {
            return p99During / p99Before;
        }
    }

    @Override
    public Report call() throws IOException, InterruptedException {
        for (Path directory : options.diskDirectories()) {
            try (Workspace workspace = Workspace.below(directory)) {
                options.progress("making the disks on " + workspace.fileSystem());
                BenchFile file = BenchFile.write(workspace.path("data.raw"), options.sizeBytes(SIZE));
                List<Mover> movers = new ArrayList<>();
                try {
                    movers.add(new FerryMover(options, workspace, file));
                    for (String copyMode : COPY_MODES) {
                        movers.add(new QemuMover(options, workspace, file, copyMode));
                    }
                    if (options.chosen("unpaced")) {
                        reportUnpaced(workspace, samples(workspace, file, movers, 0));
                    }
                    if (options.chosen("paced")) {
                        reportPaced(workspace, samples(workspace, file, movers, PACE));
                    }
                } finally {
                    for (Mover mover : movers) {
                        mover.close();
                    }
                }
            }
        }
        return report;
    }

    /** The samples of each mover, Ferry first, round by round. */
    private Map<String, List<Sample>> samples(Workspace workspace, BenchFile file, List<Mover> movers, int pace)
            throws IOException, InterruptedException {
        Map<String, List<Sample>> samples = new LinkedHashMap<>();
        movers.forEach(mover -> samples.put(mover.label(), new ArrayList<>()));
        for (int round = 0; round < options.rounds(); round++) {
            for (int turn = 0; turn < movers.size(); turn++) {
                Mover mover = movers.get((round + turn) % movers.size());
                Sample sample = sample(workspace, file, mover, pace);
                samples.getOrDefault(mover.label(), new ArrayList<>()).add(sample);
                options.progress(String.format(
                        Locale.ROOT,
                        "%s, round %d, %s: %.2f s, IOPS %,.0f then %,.0f, p99 %,.0f then %,.0f us, longest %.1f ms, switch-over %.2f ms",
                        pace == 0 ? "unpaced" : "paced",
                        round + 1,
                        mover.label(),
                        sample.seconds(),
                        sample.iopsBefore(),
                        sample.iopsDuring(),
                        sample.p99Before(),
                        sample.p99During(),
                        sample.longestMillis(),
                        sample.pauseMillis()));
            }
        }
        return samples;
    }

    private Sample sample(Workspace workspace, BenchFile file, Mover mover, int pace)
            throws IOException, InterruptedException {
        String uri = mover.open();
        // What earlier rounds left in the page cache is not to be written during this one.
        Program.run(workspace.directory(), List.of("sync"));
        GuestLoad load = new GuestLoad(workspace.directory(), uri, file.sizeBytes(), pace);
        try {
            TimeUnit.SECONDS.sleep(WARM_UP_SECONDS);
            long beforeMillis = System.currentTimeMillis();
            TimeUnit.SECONDS.sleep(options.seconds());
            Mover.Move move = mover.move();
            TimeUnit.MILLISECONDS.sleep(AFTER_MILLIS);
            GuestLoad.Trace trace = load.stop();
            mover.finish();
            long begin = move.beginMillis();
            long end = move.endMillis();
            return new Sample(
                    move.seconds(),
                    trace.perSecond(beforeMillis, begin),
                    trace.perSecond(begin, end),
                    trace.p99Micros(beforeMillis, begin),
                    trace.p99Micros(begin, end),
                    trace.longestMillis(begin, end + AFTER_MILLIS),
                    move.pauseMillis());
        } finally {
            load.kill();
        }
    }

    private void reportUnpaced(Workspace workspace, Map<String, List<Sample>> samples) {
        String where = workspace.fileSystem() + " O_DIRECT";
        String what = "live move, unpaced";
        reportTime(where, what, samples, new Goal.AtMost(1.25));
        reportFigure(where, what, "share of IOPS kept", samples, Sample::share, new Goal.AtLeast(0.5));
        reportFigure(where, what, "longest stall ms", samples, Sample::longestMillis, new Goal.None());
    }

    private void reportPaced(Workspace workspace, Map<String, List<Sample>> samples) {
        String where = workspace.fileSystem() + " O_DIRECT";
        String what = "live move, " + PACE + " IOPS";
        reportTime(where, what, samples, new Goal.None());
        reportFigure(where, what, "share of rate kept", samples, Sample::share, new Goal.AtLeast(0.97));
        reportFigure(where, what, "p99 during / before", samples, Sample::slowdown, new Goal.AtMost(4));
        reportFigure(where, what, "longest stall ms", samples, Sample::longestMillis, new Goal.AtMost(50));
        reportFigure(where, what, "switch-over ms", samples, Sample::pauseMillis, new Goal.AtMost(10));
    }

    /** Ferry's time beside that of the mode of QEMU's which was faster in the same round. */
    private void reportTime(String where, String what, Map<String, List<Sample>> samples, Goal goal) {
        List<List<Sample>> all = List.copyOf(samples.values());
        List<Sample> ours = all.getFirst();
        double[] fastest = new double[ours.size()];
        double[] ratios = new double[ours.size()];
        for (int round = 0; round < fastest.length; round++) {
            fastest[round] = Double.MAX_VALUE;
            for (List<Sample> theirs : all.subList(1, all.size())) {
                fastest[round] = Math.min(fastest[round], theirs.get(round).seconds());
            }
            ratios[round] = ours.get(round).seconds() / fastest[round];
        }
        report.add(new Comparison(
                where,
                what,
                "time s",
                Median.of(ours, Sample::seconds),
                "qemu, faster mode",
                Median.of(fastest),
                Median.of(ratios),
                goal));
    }

    /** A figure with a goal of its own, and the same figure of each peer for the reader. */
    private void reportFigure(
            String where,
            String what,
            String figure,
            Map<String, List<Sample>> samples,
            ToDoubleFunction<Sample> value,
            Goal goal) {
        double ours = Median.of(List.copyOf(samples.values()).getFirst(), value);
        report.add(new Comparison(where, what, figure, ours, "", 0, ours, goal));
        samples.entrySet().stream().skip(1).forEach(peer -> {
            double theirs = Median.of(peer.getValue(), value);
            if (!Double.isNaN(theirs)) {
                report.add(new Comparison(
                        where, what, figure, ours, peer.getKey(), theirs, ours / theirs, new Goal.None()));
            }
        });
    }
}
