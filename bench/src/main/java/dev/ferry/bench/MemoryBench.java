package dev.ferry.bench;

import java.io.IOException;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;

/**
 * How much memory the daemon takes with many disks attached, each with a client connected that asks for nothing. The
 * daemon is the child of the process that was started, which only holds its sockets and is shown beside it.
 */
final class MemoryBench implements Callable<Report> {
    private static final long SIZE = 10L << 30;
    private static final double GOAL_MIB = 300;

    private final BenchOptions options;

    MemoryBench(BenchOptions options) {
        this.options = options;
    }

    @Override
    public Report call() throws IOException {
        Path directory = options.diskDirectories().getFirst();
        List<SocketChannel> clients = new ArrayList<>();
        Report report = new Report();
        try (Workspace workspace = Workspace.below(directory);
                FerryDaemon daemon = new FerryDaemon(options, Files.createDirectory(workspace.path("ferry")))) {
            daemon.addDatastore("store");
            double alone = daemonMib(daemon);
            options.progress(String.format("daemon alone: %.0f MiB", alone));
            String size = (options.sizeBytes(SIZE) >> 20) + "M";
            for (int number = 0; number < options.disks(); number++) {
                String name = "disk" + number;
                daemon.run("disk", "create", name, "--datastore", "store", "--size", size);
                clients.add(IdleClient.connect(
                        daemon.json("disk", "attach", name).path("uri").asString()));
                if (number % 20 == 19) {
                    options.progress(String.format("%d disks: %.0f MiB", number + 1, daemonMib(daemon)));
                }
            }
            double resident = daemonMib(daemon);
            double parent = daemon.process().residentKib() / 1024.0;
            String what = options.disks() + " idle disks attached";
            Goal goal = new Goal.AtMost(GOAL_MIB);
            report.add(new Comparison(workspace.fileSystem(), what, "resident MiB", resident, "", 0, resident, goal));
            report.add(new Comparison(
                    workspace.fileSystem(), "no disk", "resident MiB", alone, "", 0, alone, new Goal.None()));
            report.add(new Comparison(
                    workspace.fileSystem(), "its parent", "resident MiB", parent, "", 0, parent, new Goal.None()));
        } finally {
            for (SocketChannel client : clients) {
                client.close();
            }
        }
        return report;
    }

    private static double daemonMib(FerryDaemon daemon) {
        return daemon.process().childrenResidentKib() / 1024.0;
    }
}
