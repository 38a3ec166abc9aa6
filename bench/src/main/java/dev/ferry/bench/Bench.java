package dev.ferry.bench;

import dev.ferry.cli.Ending;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code ferry bench}: the side-by-side measurements, one command each. See bench/README.md. */
@Command(
        name = "ferry bench",
        description = "Measures Ferry beside its peers, in the same run, and compares with what it has to reach.",
        mixinStandardHelpOptions = true,
        synopsisSubcommandLabel = "COMMAND")
public final class Bench {
    private Bench() {}

    /** Runs one command and exits: 0 measured, 1 could not measure, 2 wrong usage. */
    public static void main(String[] arguments) {
        System.exit(commands()
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

    static CommandLine commands() {
        CommandLine commands = new CommandLine(new Bench());
        add(
                commands,
                "nbd",
                "NBD server, file in the page cache, unix socket; beside nbdkit and qemu-nbd.",
                options -> new ServerBench(options, ServerSuite.cached(options)));
        add(
                commands,
                "replies",
                "As nbd, asked by Ferry's own client: extended headers, and structured replies of the peers.",
                options -> new ServerBench(options, ServerSuite.extended(options)));
        add(
                commands,
                "tls",
                "NBD server through TLS by certificates and by keys, unix socket; beside nbdkit.",
                options -> new ServerBench(options, ServerSuite.secure(options, Security.CERTIFICATES)),
                options -> new ServerBench(options, ServerSuite.secure(options, Security.KEYS)));
        add(
                commands,
                "disks",
                "64 clients of 64 disks of a daemon, beside one client of one of them.",
                DisksBench::new);
        add(
                commands,
                "qcow2",
                "NBD server, qcow2 image in the page cache, unix socket; beside qemu-nbd.",
                options -> new ServerBench(options, ServerSuite.qcow2(options)),
                options -> new ServerBench(options, ServerSuite.allocating(options)));
        add(
                commands,
                "direct",
                "NBD server, O_DIRECT, unix socket; beside qemu-nbd --cache=none --aio=io_uring.",
                options -> new ServerBench(options, ServerSuite.direct(options)));
        add(
                commands,
                "tcp",
                "NBD server through TCP on loopback, page cache and O_DIRECT; beside nbdkit and qemu-nbd.",
                options -> new ServerBench(options, ServerSuite.cachedTcp(options)),
                options -> new ServerBench(options, ServerSuite.directTcp(options)));
        add(
                commands,
                "move",
                "Live move of a disk under load; beside blockdev-mirror in qemu-storage-daemon.",
                MoveBench::new);
        add(
                commands,
                "trailing",
                "What a mirror adds to a guest's writes with its target 1 to 100 ms away, sync and trailing.",
                TrailingBench::new);
        add(
                commands,
                "bound",
                "In how many seconds of a move --max-added-latency 2 holds, under a paced load.",
                BoundBench::new);
        add(
                commands,
                "record",
                "What it costs a guest that a move records what is in step, for after a crash.",
                RecordBench::new);
        commands.addSubcommand(new StrategiesCommand());
        add(commands, "copy", "Copy of an idle file to a file; beside nbdcopy and qemu-img convert.", CopyBench::new);
        add(
                commands,
                "convert",
                "Disks converted from one format to another, compressed too; beside qemu-img convert.",
                ConvertBench::new);
        add(
                commands,
                "nbdcopy",
                "Copies of full and sparse files to NBD servers and from them; beside nbdcopy.",
                NbdCopyBench::new);
        add(
                commands,
                "link",
                "How much of a link of 1 Gbit/s and 10 ms copies and a live mirror fill; beside nbdcopy and qemu-img.",
                LinkBench::new);
        add(commands, "memory", "Resident memory of the daemon with idle disks attached.", MemoryBench::new);
        add(
                commands,
                "stack",
                "What a request costs in the layers of a stack, in time and in allocation (JMH).",
                StackCost::new);
        return commands;
    }

    private static void add(
            CommandLine commands, String name, String description, MeasureCommand.Measurement... measurements) {
        CommandLine command = new CommandLine(new MeasureCommand(measurements));
        command.getCommandSpec().usageMessage().description(description);
        commands.addSubcommand(name, command);
    }
}
