package dev.ferry.bench;

import dev.ferry.block.BlockException;
import dev.ferry.stack.OnLoop;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/**
 * What it costs a guest that it is recorded what is in step: the same move with the record and without, in turns, under the load
 * of {@code bench move}: 4k random writes, eight in flight, at 5,000 in a second and as fast as they go, from the first
 * byte that is copied through two checkpoints after the last.
 */
final class RecordBench implements Callable<Report> {
    private static final long SIZE = 1L << 30;
    private static final int DEPTH = 8;
    private static final int PACE = 5000;
    private static final Goal PACED = new Goal.AtLeast(0.95);
    private static final Goal UNPACED = new Goal.AtLeast(0.85);
    /** Two checkpoints, and some. */
    private static final long SECONDS_MIN = 12;

    private final BenchOptions options;
    private final Report report = new Report();

    RecordBench(BenchOptions options) {
        this.options = options;
    }

    @Override
    public Report call() throws IOException, BlockException, InterruptedException {
        for (Path directory : options.diskDirectories()) {
            try (Workspace workspace = Workspace.below(directory)) {
                BenchFile file = BenchFile.write(workspace.path("data.raw"), options.sizeBytes(SIZE));
                try (MirroredDisk disk = new MirroredDisk(workspace, file)) {
                    String where = workspace.fileSystem() + " direct";
                    if (options.chosen("paced")) {
                        compare(disk, where, "4k random write, 5,000 a second", PACE, PACED);
                    }
                    if (options.chosen("unpaced")) {
                        compare(disk, where, "4k random write, unpaced", 0, UNPACED);
                    }
                }
            }
        }
        return report;
    }

    private void compare(MirroredDisk disk, String where, String what, int pace, Goal goal)
            throws IOException, BlockException, InterruptedException {
        List<LoopLoad.Felt> with = new ArrayList<>();
        List<LoopLoad.Felt> without = new ArrayList<>();
        double[] ratios = new double[options.rounds()];
        for (int round = 0; round < options.rounds(); round++) {
            boolean recordedFirst = round % 2 == 0;
            LoopLoad.Felt first = sample(disk, pace, recordedFirst);
            LoopLoad.Felt second = sample(disk, pace, !recordedFirst);
            with.add(recordedFirst ? first : second);
            without.add(recordedFirst ? second : first);
            ratios[round] = with.getLast().perSecond() / without.getLast().perSecond();
            options.progress(String.format(
                    Locale.ROOT,
                    "%s, round %d: with %s, without %s",
                    what,
                    round + 1,
                    with.getLast(),
                    without.getLast()));
        }
        report.add(new Comparison(
                where,
                what,
                "IOPS",
                Median.of(with, LoopLoad.Felt::perSecond),
                "without record",
                Median.of(without, LoopLoad.Felt::perSecond),
                Median.of(ratios),
                goal));
        double p99 = Median.of(with, LoopLoad.Felt::p99Millis);
        double p99Without = Median.of(without, LoopLoad.Felt::p99Millis);
        report.add(new Comparison(
                where, what, "p99 ms", p99, "without record", p99Without, p99 / p99Without, new Goal.None()));
    }

    private LoopLoad.Felt sample(MirroredDisk disk, int pace, boolean recorded)
            throws IOException, BlockException, InterruptedException {
        LoopLoad load =
                new LoopLoad(disk.loop(), disk.disk().front(), disk.disk().sizeBytes(), DEPTH, pace, 1);
        OnLoop.run(disk.loop(), load::start);
        TimeUnit.SECONDS.sleep(1);
        disk.move(0, recorded);
        OnLoop.run(disk.loop(), load::mark);
        disk.awaitCopy();
        TimeUnit.SECONDS.sleep(Math.max(SECONDS_MIN, options.seconds()));
        LoopLoad.Felt felt = OnLoop.get(disk.loop(), load::felt);
        OnLoop.await(disk.loop(), load::stop);
        disk.endMove();
        return felt;
    }
}
