package dev.ferry.bench;

import dev.ferry.cli.Ending;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code ferry bench}: the side-by-side measurements, one command each. See bench/README.md. */
@Command(
        name = "ferry bench",
        description = "Measures Ferry beside its peers, in the same run, and compares with what it has to reach.",
        mixinStandardHelpOptions = true,
        synopsisSubcommandLabel = "COMMAND")
public final class Bench {
    /** Runs one command and exits: 0 measured, 1 could not measure, 2 wrong usage. */
    public static void main(String[] arguments) {
        System.exit(new CommandLine(new Bench())
                .setExecutionExceptionHandler((exception, line, parsed) -> {
                    if (Ending.hasBegun()) {
                        Ending.await();
                    }
                    line.getErr().println("ferry bench: " + message(exception));
                    return 1;
                })
                .execute(arguments));
    }

    private static String message(Exception exception) {
        return exception instanceof BenchException ? String.valueOf(exception.getMessage()) : exception.toString();
    }

    @Command(
            name = "nbd",
            description = "NBD server, file in the page cache, unix socket; beside nbdkit and qemu-nbd.",
            mixinStandardHelpOptions = true)
    int nbd(@Mixin BenchOptions options) throws Exception {
        return run(options, new ServerBench(options, ServerSuite.cached(options)));
    }

    @Command(
            name = "qcow2",
            description = "NBD server, qcow2 image in the page cache, unix socket; beside qemu-nbd.",
            mixinStandardHelpOptions = true)
    int qcow2(@Mixin BenchOptions options) throws Exception {
        return run(options, new ServerBench(options, ServerSuite.qcow2(options)));
    }

    @Command(
            name = "direct",
            description = "NBD server, O_DIRECT, unix socket; beside qemu-nbd --cache=none --aio=io_uring.",
            mixinStandardHelpOptions = true)
    int direct(@Mixin BenchOptions options) throws Exception {
        return run(options, new ServerBench(options, ServerSuite.direct(options)));
    }

    @Command(
            name = "tcp",
            description = "NBD server through TCP on loopback, page cache and O_DIRECT; beside nbdkit and qemu-nbd.",
            mixinStandardHelpOptions = true)
    int tcp(@Mixin BenchOptions options) throws Exception {
        return run(
                options,
                new ServerBench(options, ServerSuite.cachedTcp(options)),
                new ServerBench(options, ServerSuite.directTcp(options)));
    }

    @Command(
            name = "move",
            description = "Live move of a disk under load; beside blockdev-mirror in qemu-storage-daemon.",
            mixinStandardHelpOptions = true)
    int move(@Mixin BenchOptions options) throws Exception {
        return run(options, new MoveBench(options));
    }

    @Command(
            name = "trailing",
            description = "What a mirror adds to a guest's writes with its target 1 to 100 ms away, sync and trailing.",
            mixinStandardHelpOptions = true)
    int trailing(@Mixin BenchOptions options) throws Exception {
        return run(options, new TrailingBench(options));
    }

    @Command(
            name = "bound",
            description = "In how many seconds of a move --max-added-latency 2 holds, under a paced load.",
            mixinStandardHelpOptions = true)
    int bound(@Mixin BenchOptions options) throws Exception {
        return run(options, new BoundBench(options));
    }

    @Command(
            name = "record",
            description = "What it costs a guest that a move records what is in step, for after a crash.",
            mixinStandardHelpOptions = true)
    int record(@Mixin BenchOptions options) throws Exception {
        return run(options, new RecordBench(options));
    }

    @Command(
            name = "strategies",
            description = {
                "Live moves by each strategy under the same loads: time, downtime, what the guest loses, bytes moved.",
                "The table goes to standard output, a plot to the file that --plot names."
            },
            mixinStandardHelpOptions = true)
    int strategies(
            @Mixin BenchOptions options,
            @Option(names = "--plot", paramLabel = "FILE", description = "write a plot of it to FILE, as SVG") @Nullable
                    Path plot)
            throws Exception {
        StrategyReport report = new StrategyBench(options).call();
        System.out.print(options.json() ? report.json() : report.text());
        if (plot != null) {
            Files.writeString(plot, new StrategyPlot(report.samples()).svg());
        }
        return 0;
    }

    @Command(
            name = "copy",
            description = "Copy of an idle file to a file; beside nbdcopy and qemu-img convert.",
            mixinStandardHelpOptions = true)
    int copy(@Mixin BenchOptions options) throws Exception {
        return run(options, new CopyBench(options));
    }

    @Command(
            name = "memory",
            description = "Resident memory of the daemon with idle disks attached.",
            mixinStandardHelpOptions = true)
    int memory(@Mixin BenchOptions options) throws Exception {
        return run(options, new MemoryBench(options));
    }

    @Command(
            name = "stack",
            description = "What a request costs in the layers of a stack, in time and in allocation (JMH).",
            mixinStandardHelpOptions = true)
    int stack(@Mixin BenchOptions options) throws Exception {
        return run(options, new StackCost(options));
    }

    @SafeVarargs
    private static int run(BenchOptions options, Callable<Report>... benches) throws Exception {
        Report report = new Report();
        for (Callable<Report> bench : benches) {
            report.addAll(bench.call());
        }
        System.out.print(options.json() ? report.json() : report.text());
        return 0;
    }
}
