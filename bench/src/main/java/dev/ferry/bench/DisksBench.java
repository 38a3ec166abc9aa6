package dev.ferry.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;

/**
 * Many clients of many disks of one daemon, a connection to each, beside one client of one disk that is as large as all of
 * those together, so that the processor's caches do not decide. The load is Ferry's own client, on one thread for all
 * connections; the disks are in the page cache.
 */
final class DisksBench implements Callable<Report> {
    private static final int DISKS = 64;

    /** Of all disks together, and of the one. */
    private static final long SIZE = 1L << 30;

    private static final int WARM_UP_SECONDS = 2;

    private final BenchOptions options;
    private final Report report = new Report();

    DisksBench(BenchOptions options) {
        this.options = options;
    }

    /** How deep on each of many disks, beside one at depth 32. */
    private record Shape(Workload one, Workload each, Goal goal) {
        static Shape of(String pattern, int depth, Goal goal) {
            return new Shape(new Workload(pattern, 4096, 32), new Workload(pattern, 4096, depth), goal);
        }
    }

    @Override
    public Report call() throws IOException {
        for (Path directory : options.directories()) {
            try (Workspace workspace = Workspace.below(directory);
                    FerryDaemon daemon = new FerryDaemon(options, Files.createDirectory(workspace.path("ferry")))) {
                daemon.addDatastore("store");
                long sizeBytes = options.sizeBytes(SIZE);
                BenchFile part = BenchFile.write(workspace.path("part.raw"), sizeBytes / DISKS);
                BenchFile whole = BenchFile.write(workspace.path("whole.raw"), sizeBytes);
                String one = attach(daemon, "one", whole);
                List<String> many = new ArrayList<>();
                for (int number = 0; number < DISKS; number++) {
                    many.add(attach(daemon, "disk" + number, part));
                }
                options.progress(DISKS + " disks attached");
                Goal asFast = new Goal.AtLeast(1);
                for (Shape shape : List.of(
                        Shape.of("randread", 32, asFast),
                        Shape.of("randwrite", 32, asFast),
                        Shape.of("randread", 1, new Goal.None()),
                        Shape.of("randwrite", 1, new Goal.None()))) {
                    if (options.chosen(shape.each().name())) {
                        compare(workspace.fileSystem(), daemon, one, many, sizeBytes, shape);
                    }
                }
            }
        }
        return report;
    }

    private static String attach(FerryDaemon daemon, String name, BenchFile file) {
        String path = file.path().toString();
        daemon.run("disk", "import", name, "--datastore", "store", "--from", path);
        return daemon.json("disk", "attach", name).path("uri").asString();
    }

    private void compare(
            String where, FerryDaemon daemon, String oneUri, List<String> manyUris, long sizeBytes, Shape shape) {
        Map<Boolean, List<ServerSuite.Sample>> samples = new LinkedHashMap<>();
        try (ClientLoad many = new ClientLoad(manyUris);
                ClientLoad one = new ClientLoad(List.of(oneUri))) {
            for (int round = 0; round <= options.rounds(); round++) {
                int seconds = round == 0 ? WARM_UP_SECONDS : options.seconds();
                for (int turn = 0; turn < 2; turn++) {
                    boolean all = (round + turn) % 2 == 0;
                    ServerProcess.CpuTime before = daemon.process().cpuTime();
                    LoadResult load = all
                            ? many.run(sizeBytes / DISKS, shape.each(), seconds)
                            : one.run(sizeBytes, shape.one(), seconds);
                    ServerProcess.CpuTime cpu = daemon.process().cpuTime().since(before);
                    ServerSuite.Sample sample = new ServerSuite.Sample(load, cpu);
                    if (round > 0) {
                        samples.computeIfAbsent(all, which -> new ArrayList<>()).add(sample);
                    }
                    options.progress(String.format(
                            Locale.ROOT,
                            "%s, %s, round %d, %d disks: %,.0f/s %.1f us CPU, median %.0f us",
                            where,
                            shape.each().name(),
                            round,
                            all ? DISKS : 1,
                            load.perSecond(),
                            sample.cpuMicrosPerOperation(),
                            load.medianMicros()));
                }
            }
        }
        List<ServerSuite.Sample> all = samples.getOrDefault(true, List.of());
        List<ServerSuite.Sample> alone = samples.getOrDefault(false, List.of());
        add(where, shape, ServerSuite.Figure.IOPS, all, alone, shape.goal());
        add(where, shape, ServerSuite.Figure.CPU, all, alone, new Goal.None());
    }

    private void add(
            String where,
            Shape shape,
            ServerSuite.Figure figure,
            List<ServerSuite.Sample> all,
            List<ServerSuite.Sample> alone,
            Goal goal) {
        double[] ratios = new double[all.size()];
        for (int round = 0; round < ratios.length; round++) {
            ratios[round] = figure.of(all.get(round)) / figure.of(alone.get(round));
        }
        report.add(new Comparison(
                where,
                DISKS + " disks, each " + shape.each().name(),
                figure.label(),
                Median.of(all, figure::of),
                "one disk, qd" + shape.one().depth(),
                Median.of(alone, figure::of),
                Median.of(ratios),
                goal));
    }
}
