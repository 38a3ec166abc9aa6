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
 * Copies an idle file to a new file, by Ferry, nbdcopy and qemu-img convert. The source is in the page cache; the time is
 * that of the whole command, its start included, and none of them is asked to flush.
 */
final class CopyBench implements Callable<Report> {
    private static final long SIZE = 2L << 30;

    private final BenchOptions options;
    private final Report report = new Report();

    CopyBench(BenchOptions options) {
        this.options = options;
    }

    @Override
    public Report call() throws IOException {
        for (Path directory : options.directories()) {
            try (Workspace workspace = Workspace.below(directory)) {
                measure(workspace);
            }
        }
        return report;
    }

    private void measure(Workspace workspace) throws IOException {
        BenchFile file = BenchFile.write(workspace.path("source.raw"), options.sizeBytes(SIZE));
        String source = file.path().toString();
        Path target = workspace.path("target.raw");
        Map<String, List<String>> tools = new LinkedHashMap<>();
        tools.put("ferry", List.of(options.ferry(), "nbd", "copy", source, target.toString()));
        tools.put("nbdcopy", List.of("nbdcopy", source, target.toString()));
        tools.put("qemu-img", List.of("qemu-img", "convert", "-f", "raw", "-O", "raw", source, target.toString()));
        Map<String, List<Double>> seconds = new LinkedHashMap<>();
        tools.keySet().forEach(tool -> seconds.put(tool, new ArrayList<>()));
        List<String> order = List.copyOf(tools.keySet());
        // Round 0 warms up and does not count.
        for (int round = 0; round <= options.rounds(); round++) {
            StringBuilder line = new StringBuilder(workspace.fileSystem() + " copy, round " + round + ":");
            for (int turn = 0; turn < order.size(); turn++) {
                String tool = order.get((round + turn) % order.size());
                Files.deleteIfExists(target);
                Program.run(workspace.directory(), List.of("sync"));
                long begin = System.nanoTime();
                Program.run(workspace.directory(), tools.getOrDefault(tool, List.of()));
                double took = (System.nanoTime() - begin) / 1e9;
                if (Files.size(target) != file.sizeBytes()) {
                    throw new BenchException(tool + " made a file of " + Files.size(target) + " bytes");
                }
                if (round > 0) {
                    seconds.getOrDefault(tool, new ArrayList<>()).add(took);
                }
                line.append(String.format(Locale.ROOT, "  %s %.2f s", tool, took));
            }
            options.progress(line.toString());
        }
        compare(workspace, List.copyOf(seconds.values()));
    }

    private void compare(Workspace workspace, List<List<Double>> seconds) {
        List<Double> ours = seconds.getFirst();
        double[] fastest = new double[ours.size()];
        double[] ratios = new double[ours.size()];
        for (int round = 0; round < fastest.length; round++) {
            fastest[round] = Math.min(seconds.get(1).get(round), seconds.get(2).get(round));
            ratios[round] = ours.get(round) / fastest[round];
        }
        report.add(new Comparison(
                workspace.fileSystem(),
                "copy of an idle file",
                "time s",
                Median.of(ours, Double::doubleValue),
                "nbdcopy or qemu-img, faster",
                Median.of(fastest),
                Median.of(ratios),
                new Goal.AtMost(1)));
    }
}
