package dev.ferry.bench;

import dev.ferry.block.BlockException;
import dev.ferry.filter.mirror.TrailSettings;
import dev.ferry.stack.OnLoop;
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
 * What a mirror adds to a guest's writes when its target is 1, 5, 20 and 100 ms away, if it waits for the target and if the
 * target trails: at a pace, while the copy is under way and once it is done, and as fast as it goes.
 */
final class TrailingBench implements Callable<Report> {
    private static final long SIZE = 256L << 20;
    private static final int DEPTH = 4;
    private static final int PACE = 500;
    private static final int[] AWAY_MILLIS = {1, 5, 20, 100};

    private final BenchOptions options;
    private final Report report = new Report();

    TrailingBench(BenchOptions options) {
        this.options = options;
    }

    /** One move to a target. */
    private record Sample(
            LoopLoad.Felt before,
            LoopLoad.Felt copying,
            LoopLoad.Felt copied,
            LoopLoad.Felt unpacedBefore,
            LoopLoad.Felt unpaced,
            double inStepMillis,
            double overruns) {}

    @Override
    public Report call() throws IOException, BlockException, InterruptedException {
        for (Path directory : options.diskDirectories()) {
            try (Workspace workspace = Workspace.below(directory)) {
                BenchFile file = BenchFile.write(workspace.path("data.raw"), options.sizeBytes(SIZE));
                try (MirroredDisk disk = new MirroredDisk(workspace, file)) {
                    Map<String, List<Sample>> samples = new LinkedHashMap<>();
                    for (int round = 0; round < options.rounds(); round++) {
                        measure(disk, round, samples);
                    }
                    samples.forEach((what, all) -> report(workspace.fileSystem() + " direct", what, all));
                }
            }
        }
        return report;
    }

    private void measure(MirroredDisk disk, int round, Map<String, List<Sample>> samples)
            throws IOException, BlockException, InterruptedException {
        for (int away : AWAY_MILLIS) {
            for (int turn = 0; turn < 2; turn++) {
                boolean trailing = (round + turn) % 2 == 1;
                String what = String.format(Locale.ROOT, "%3d ms, %s", away, trailing ? "trailing" : "sync");
                if (options.chosen(what)) {
                    Sample sample = sample(disk, away * 1_000_000L, trailing);
                    samples.computeIfAbsent(what, name -> new ArrayList<>()).add(sample);
                    options.progress(what + ", round " + (round + 1) + ": " + sample);
                }
            }
        }
    }

    private Sample sample(MirroredDisk disk, long awayNanos, boolean trailing)
            throws IOException, BlockException, InterruptedException {
        LoopLoad.Felt unpacedBefore = unpaced(disk);
        LoopLoad paced =
                new LoopLoad(disk.loop(), disk.disk().front(), disk.disk().sizeBytes(), DEPTH, PACE, awayNanos);
        OnLoop.run(disk.loop(), paced::start);
        LoopLoad.Felt before = over(disk, paced);
        disk.move(awayNanos, true);
        if (trailing) {
            OnLoop.run(disk.loop(), () -> disk.mirror().trail(TrailSettings.DEFAULT));
        }
        OnLoop.run(disk.loop(), paced::mark);
        disk.awaitCopy();
        LoopLoad.Felt copying = OnLoop.get(disk.loop(), paced::felt);
        LoopLoad.Felt copied = over(disk, paced);
        OnLoop.await(disk.loop(), paced::stop);
        LoopLoad.Felt unpaced = unpaced(disk);
        LoopLoad last =
                new LoopLoad(disk.loop(), disk.disk().front(), disk.disk().sizeBytes(), DEPTH, 0, awayNanos + 1);
        OnLoop.run(disk.loop(), last::start);
        TimeUnit.SECONDS.sleep(1);
        long closing = System.nanoTime();
        OnLoop.await(disk.loop(), disk.mirror()::closeUp);
        double inStepMillis = (System.nanoTime() - closing) / 1e6;
        OnLoop.await(disk.loop(), last::stop);
        double overruns = OnLoop.get(disk.loop(), disk.mirror()::overruns);
        disk.endMove();
        return new Sample(before, copying, copied, unpacedBefore, unpaced, inStepMillis, overruns);
    }

    private LoopLoad.Felt unpaced(MirroredDisk disk) throws BlockException, InterruptedException {
        LoopLoad load =
                new LoopLoad(disk.loop(), disk.disk().front(), disk.disk().sizeBytes(), DEPTH, 0, 1);
        OnLoop.run(disk.loop(), load::start);
        LoopLoad.Felt felt = over(disk, load);
        OnLoop.await(disk.loop(), load::stop);
        return felt;
    }

    private LoopLoad.Felt over(MirroredDisk disk, LoopLoad load) throws BlockException, InterruptedException {
        OnLoop.run(disk.loop(), load::mark);
        TimeUnit.SECONDS.sleep(options.seconds());
        return OnLoop.get(disk.loop(), load::felt);
    }

    private void report(String where, String what, List<Sample> samples) {
        line(where, what, "added while copying, median ms", samples, sample -> added(sample, sample.copying()));
        line(where, what, "added while copying, p99 ms", samples, sample -> addedP99(sample, sample.copying()));
        line(where, what, "added once copied, median ms", samples, sample -> added(sample, sample.copied()));
        line(where, what, "added once copied, p99 ms", samples, sample -> addedP99(sample, sample.copied()));
        line(
                where,
                what,
                "longest write ms",
                samples,
                sample -> Math.max(
                        sample.copying().longestMillis(), sample.copied().longestMillis()));
        line(
                where,
                what,
                "unpaced, share of IOPS",
                samples,
                sample -> sample.unpaced().perSecond() / sample.unpacedBefore().perSecond());
        line(where, what, "in step before a switch, ms", samples, Sample::inStepMillis);
        line(where, what, "times passed over", samples, Sample::overruns);
    }

    private static double added(Sample sample, LoopLoad.Felt during) {
        return during.medianMillis() - sample.before().medianMillis();
    }

    private static double addedP99(Sample sample, LoopLoad.Felt during) {
        return during.p99Millis() - sample.before().p99Millis();
    }

    private void line(String where, String what, String figure, List<Sample> samples, ToDoubleFunction<Sample> value) {
        double median = Median.of(samples, value);
        report.add(new Comparison(where, what, figure, median, "", 0, median, new Goal.None()));
    }
}
