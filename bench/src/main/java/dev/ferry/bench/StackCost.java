package dev.ferry.bench;

import dev.ferry.bench.micro.StackBenchmark;
import java.util.Collection;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/** What a request costs in the layers of a stack alone, in time and in allocation, by JMH with its gc profiler. */
final class StackCost implements Callable<Report> {
    private static final String ALLOCATION = "gc.alloc.rate.norm";

    /** A request allocates nothing; what JMH itself allocates, spread over all requests, is far below one byte. */
    private static final Goal NOTHING = new Goal.AtMost(0.5);

    private final BenchOptions options;

    StackCost(BenchOptions options) {
        this.options = options;
    }

    @Override
    public Report call() throws RunnerException {
        Options run = new OptionsBuilder()
                .include(StackBenchmark.class.getName())
                .addProfiler(GCProfiler.class)
                .forks(1)
                .jvmArgsAppend("-XX:+UseSerialGC", "--sun-misc-unsafe-memory-access=allow")
                .warmupIterations(3)
                .warmupTime(TimeValue.seconds(1))
                .measurementIterations(options.rounds())
                .measurementTime(new TimeValue(Math.min(options.seconds(), 2), TimeUnit.SECONDS))
                .verbosity(VerboseMode.SILENT)
                .build();
        Collection<RunResult> results = new Runner(run).run();
        Report report = new Report();
        for (RunResult result : results) {
            String name = result.getPrimaryResult().getLabel() + " of 4 KiB, disk "
                    + (result.getParams().getParam("disk").equals("rest") ? "at rest" : "moving");
            double nanos = result.getPrimaryResult().getScore();
            Result<?> allocation = result.getSecondaryResults().get(ALLOCATION);
            if (allocation == null) {
                throw new BenchException("JMH reports no allocation");
            }
            double bytes = allocation.getScore();
            report.add(new Comparison("memory", name, "ns/request", nanos, "", 0, nanos, new Goal.None()));
            report.add(new Comparison("memory", name, "bytes allocated", bytes, "", 0, bytes, NOTHING));
        }
        return report;
    }
}
