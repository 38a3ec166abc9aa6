package dev.ferry.bench;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;

/**
 * Copies a file to an NBD server and from one, by {@code ferry nbd copy} and by nbdcopy, each as it is by default, but that
 * both make the copy durable. The servers are Ferry's and nbdkit's, on a unix socket; files are full of data, or sparse.
 * What is read is in the page cache; the time is that of the whole command, its start included.
 */
final class NbdCopyBench implements Callable<Report> {
    private static final long SIZE = 1L << 30;

    /** A sparse file is so much larger, and has its data in one of so many pieces. */
    private static final int SPARSE_TIMES = 4;

    private static final int SPARSE_PIECE_BYTES = 1 << 20;
    private static final int SPARSE_ONE_OF = 16;

    private static final Goal FULL_GOAL = new Goal.AtMost(1 / 1.1);
    private static final Goal SPARSE_GOAL = new Goal.AtMost(1);

    private final BenchOptions options;
    private final Report report = new Report();

    NbdCopyBench(BenchOptions options) {
        this.options = options;
    }

    @Override
    public Report call() throws IOException {
        for (Path directory : options.directories()) {
            try (Workspace workspace = Workspace.below(directory)) {
                measure(workspace, "full", BenchFile.write(workspace.path("full.raw"), options.sizeBytes(SIZE)));
            }
            try (Workspace workspace = Workspace.below(directory)) {
                measure(workspace, "sparse", sparse(workspace.path("sparse.raw"), options.sizeBytes(SIZE)));
            }
        }
        return report;
    }

    private static BenchFile sparse(Path path, long sizeBytes) throws IOException {
        byte[] bytes = new byte[SPARSE_PIECE_BYTES];
        new Random(3).nextBytes(bytes);
        long wholeBytes = SPARSE_TIMES * sizeBytes;
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.setLength(wholeBytes);
            for (long at = 0; at < wholeBytes; at += (long) SPARSE_ONE_OF * SPARSE_PIECE_BYTES) {
                file.seek(at);
                file.write(bytes);
            }
        }
        return new BenchFile(path, wholeBytes);
    }

    private void measure(Workspace workspace, String content, BenchFile file) throws IOException {
        Path scratch = workspace.directory();
        for (Peer peer : List.of(Peer.FERRY, Peer.NBDKIT)) {
            String to = content + " file to " + peer.label();
            if (options.chosen(to)) {
                Path target = workspace.path("target.raw");
                try (RandomAccessFile made = new RandomAccessFile(target.toFile(), "rw")) {
                    made.setLength(file.sizeBytes());
                }
                try (ServerProcess server = peer.serve(target, scratch, options, ServerSuite.cached(options))) {
                    compare(
                            workspace,
                            to,
                            content,
                            file.path(),
                            target,
                            file.path().toString(),
                            server.uri());
                }
                Files.delete(target);
            }
            String from = content + " " + peer.label() + " to file";
            if (options.chosen(from)) {
                Path target = workspace.path("copy.raw");
                try (ServerProcess server = peer.serve(file.path(), scratch, options, ServerSuite.cached(options))) {
                    compare(workspace, from, content, file.path(), target, server.uri(), target.toString());
                }
                Files.delete(target);
            }
        }
    }

    /**
     * @param original what is copied
     * @param copied where the bytes come to lie
     * @param source what the tools are told, as the next
     */
    private void compare(
            Workspace workspace, String what, String content, Path original, Path copied, String source, String target)
            throws IOException {
        Map<String, List<String>> tools = new LinkedHashMap<>();
        tools.put("ferry", List.of(options.ferry(), "nbd", "copy", "--flush", source, target));
        tools.put("nbdcopy", List.of("nbdcopy", "--flush", source, target));
        Map<String, List<Double>> seconds = new LinkedHashMap<>();
        tools.keySet().forEach(tool -> seconds.put(tool, new ArrayList<>()));
        List<String> order = List.copyOf(tools.keySet());
        boolean toFile = target.equals(copied.toString());
        // Round 0 warms up, is checked, and does not count.
        for (int round = 0; round <= options.rounds(); round++) {
            StringBuilder line =
                    new StringBuilder(workspace.fileSystem() + " copy, " + what + ", round " + round + ":");
            for (int turn = 0; turn < order.size(); turn++) {
                String tool = order.get((round + turn) % order.size());
                if (toFile) {
                    Files.deleteIfExists(copied);
                }
                Program.run(
                        workspace.directory(),
                        List.of("sync", "-f", workspace.directory().toString()));
                long begin = System.nanoTime();
                Program.run(workspace.directory(), tools.getOrDefault(tool, List.of()));
                double took = (System.nanoTime() - begin) / 1e9;
                if (round == 0) {
                    Program.run(workspace.directory(), List.of("cmp", original.toString(), copied.toString()));
                } else {
                    seconds.getOrDefault(tool, new ArrayList<>()).add(took);
                }
                line.append(String.format(Locale.ROOT, "  %s %.2f s", tool, took));
            }
            options.progress(line.toString());
        }
        List<Double> ours = seconds.getOrDefault("ferry", List.of());
        List<Double> theirs = seconds.getOrDefault("nbdcopy", List.of());
        double[] ratios = new double[ours.size()];
        for (int round = 0; round < ratios.length; round++) {
            ratios[round] = ours.get(round) / theirs.get(round);
        }
        report.add(new Comparison(
                workspace.fileSystem(),
                what,
                "time s",
                Median.of(ours, Double::doubleValue),
                "nbdcopy",
                Median.of(theirs, Double::doubleValue),
                Median.of(ratios),
                content.equals("full") ? FULL_GOAL : SPARSE_GOAL));
    }
}
