package dev.ferry.bench;

import dev.ferry.block.BlockException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;

/**
 * How much of a long and narrow link is filled ({@link TunLink}, or {@link SlowLink} where this process may not make one): by copies to a server at its other end and from it, beside
 * nbdcopy and qemu-img, and by a live mirror of a disk in use. All talk to Ferry's server. Only the time in which data is on
 * the link counts.
 */
final class LinkBench implements Callable<Report> {
    private static final long SIZE = 512L << 20;

    /** One Gbit in a second. */
    private static final long BYTES_PER_SECOND = 125_000_000;

    private static final long ROUND_TRIP_NANOS = 10_000_000;
    private static final boolean REAL = TunLink.possible();
    private static final Goal FULL = new Goal.AtLeast(0.9);

    private final BenchOptions options;
    private final Report report = new Report();

    LinkBench(BenchOptions options) {
        this.options = options;
    }

    @Override
    public Report call() throws IOException, BlockException {
        for (Path directory : options.directories()) {
            try (Workspace workspace = Workspace.below(directory)) {
                BenchFile file = BenchFile.write(workspace.path("data.raw"), options.sizeBytes(SIZE));
                Path far = workspace.path("far.raw");
                try (RandomAccessFile made = new RandomAccessFile(far.toFile(), "rw")) {
                    made.setLength(file.sizeBytes());
                }
                if (options.chosen("copy to a server")) {
                    copies(workspace, "copy to a server", file, far, true);
                }
                if (options.chosen("copy from a server")) {
                    copies(workspace, "copy from a server", file, file.path(), false);
                }
                if (options.chosen("live mirror")) {
                    mirrors(workspace, file, far);
                }
            }
        }
        return report;
    }

    /** Runs something over a link to a server of {@code served}. */
    private <T> T over(Workspace workspace, Path served, OverLink<T> what) throws IOException, BlockException {
        if (REAL) {
            try (TunLink link = new TunLink(workspace.directory(), BYTES_PER_SECOND, ROUND_TRIP_NANOS);
                    ServerProcess server = link.serve(served, options)) {
                return what.run(link, server.uri());
            }
        }
        ServerSuite tcp = ServerSuite.cachedTcp(options);
        try (ServerProcess server = Peer.FERRY.serve(served, workspace.directory(), options, tcp);
                SlowLink link = new SlowLink(server.port(), BYTES_PER_SECOND, ROUND_TRIP_NANOS)) {
            return what.run(link, "nbd://127.0.0.1:" + link.port());
        }
    }

    private interface OverLink<T> {
        T run(Link link, String uri) throws IOException, BlockException;
    }

    private void copies(Workspace workspace, String what, BenchFile file, Path served, boolean there)
            throws IOException, BlockException {
        String near =
                there ? file.path().toString() : workspace.path("near.raw").toString();
        Map<String, List<Double>> shares = over(workspace, served, (link, uri) -> {
            Map<String, List<String>> tools = new LinkedHashMap<>();
            String from = there ? near : uri;
            String to = there ? uri : near;
            tools.put("ferry", List.of(options.ferry(), "nbd", "copy", from, to));
            tools.put("nbdcopy", List.of("nbdcopy", from, to));
            List<String> convert = new ArrayList<>(List.of("qemu-img", "convert", "-f", "raw", "-O", "raw"));
            if (there) {
                convert.add("-n");
            }
            convert.addAll(List.of(from, to));
            tools.put("qemu-img", convert);
            return inTurns(workspace, what, tools, there ? link.toServer() : link.toClient());
        });
        Files.deleteIfExists(workspace.path("near.raw"));
        double ours = Median.of(shares.getOrDefault("ferry", List.of()), Double::doubleValue);
        add(workspace, what, ours, FULL);
        shares.forEach((tool, all) -> {
            if (!tool.equals("ferry")) {
                double theirs = Median.of(all, Double::doubleValue);
                report.add(new Comparison(
                        where(workspace),
                        what,
                        "share of the link",
                        ours,
                        tool,
                        theirs,
                        ours / theirs,
                        new Goal.None()));
            }
        });
    }

    private Map<String, List<Double>> inTurns(
            Workspace workspace, String what, Map<String, List<String>> tools, LinkDirection direction) {
        Map<String, List<Double>> shares = new LinkedHashMap<>();
        List<String> order = List.copyOf(tools.keySet());
        order.forEach(tool -> shares.put(tool, new ArrayList<>()));
        for (int round = 0; round < options.rounds(); round++) {
            StringBuilder line = new StringBuilder(where(workspace) + ", " + what + ", round " + (round + 1) + ":");
            for (int turn = 0; turn < order.size(); turn++) {
                String tool = order.get((round + turn) % order.size());
                direction.mark();
                Program.run(workspace.directory(), tools.getOrDefault(tool, List.of()));
                shares.getOrDefault(tool, new ArrayList<>()).add(direction.share());
                line.append(String.format(
                        Locale.ROOT, "  %s %.3f (lost %d)", tool, direction.share(), direction.droppedPackets()));
            }
            options.progress(line.toString());
        }
        return shares;
    }

    private void mirrors(Workspace workspace, BenchFile file, Path far) throws IOException, BlockException {
        List<Double> shares = new ArrayList<>();
        for (int round = 0; round < options.rounds(); round++) {
            double share = over(workspace, far, (link, uri) -> {
                link.toServer().mark();
                try (FarMirror mirror = new FarMirror(file, uri)) {
                    LoopLoad.Felt felt = mirror.copy();
                    double filled = link.toServer().share();
                    options.progress(String.format(
                            Locale.ROOT,
                            "%s, live mirror: %.3f of the link (lost %d), guest %,.0f writes a second, median %.1f ms, p99 %.1f ms",
                            where(workspace),
                            filled,
                            link.toServer().droppedPackets(),
                            felt.perSecond(),
                            felt.medianMillis(),
                            felt.p99Millis()));
                    return filled;
                }
            });
            shares.add(share);
        }
        add(workspace, "live mirror", Median.of(shares, Double::doubleValue), FULL);
    }

    private void add(Workspace workspace, String what, double share, Goal goal) {
        report.add(new Comparison(where(workspace), what, "share of the link", share, "", 0, share, goal));
    }

    private static String where(Workspace workspace) {
        return workspace.fileSystem() + ", 10 ms, 1 Gbit/s, " + (REAL ? "TUN" : "proxy");
    }
}
