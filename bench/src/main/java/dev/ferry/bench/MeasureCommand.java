package dev.ferry.bench;

import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** A command that measures and prints one report of it. */
@Command(mixinStandardHelpOptions = true)
final class MeasureCommand implements Callable<Integer> {
    /** What is to be measured, with what was chosen on the command line. */
    interface Measurement {
        Callable<Report> with(BenchOptions options);
    }

    private final List<Measurement> measurements;

    @Mixin
    private final BenchOptions options = new BenchOptions();

    MeasureCommand(Measurement... measurements) {
        this.measurements = List.of(measurements);
    }

    @Override
    public Integer call() throws Exception {
        Report report = new Report();
        for (Measurement measurement : measurements) {
            report.addAll(measurement.with(options).call());
        }
        System.out.print(options.json() ? report.json() : report.text());
        return 0;
    }
}
