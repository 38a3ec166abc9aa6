package dev.ferry.bench;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code ferry bench strategies}: a report of its own, as a table and as a plot. */
@Command(
        name = "strategies",
        description = {
            "Live moves by each strategy under the same loads: time, downtime, what the guest loses, bytes moved.",
            "The table goes to standard output, a plot to the file that --plot names."
        },
        mixinStandardHelpOptions = true)
final class StrategiesCommand implements Callable<Integer> {
    @Mixin
    private final BenchOptions options = new BenchOptions();

    @Option(names = "--plot", paramLabel = "FILE", description = "write a plot of it to FILE, as SVG")
    private @Nullable Path plot;

    @Override
    public Integer call() throws Exception {
        StrategyReport report = new StrategyBench(options).call();
        System.out.print(options.json() ? report.json() : report.text());
        if (plot != null) {
            Files.writeString(plot, new StrategyPlot(report.samples()).svg());
        }
        return 0;
    }
}
