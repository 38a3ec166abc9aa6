package dev.ferry.bench;

import dev.ferry.bench.ServerSuite.Images;
import dev.ferry.bench.ServerSuite.Sample;
import dev.ferry.nbd.wire.ReplyStyle;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;

/**
 * Measures NBD servers side by side: all serve the same file, all are warmed up, and in each round each has its turn, in
 * an order that rotates, so that a machine that slows down for a while slows all alike. What is compared is the ratio
 * within a round.
 */
final class ServerBench implements Callable<Report> {
    private static final long SIZE = 1L << 30;
    private static final int WARM_UP_SECONDS = 3;

    /** Of an image that is new: a million clusters of 64 KiB, far more than are written to in a measurement. */
    private static final long NEW_SIZE = 64L << 30;

    private final BenchOptions options;
    private final ServerSuite suite;
    private final Report report = new Report();

    /** How each server answered our own client. */
    private final Map<String, ReplyStyle> spoken = new TreeMap<>();

    ServerBench(BenchOptions options, ServerSuite suite) {
        this.options = options;
        this.suite = suite;
    }

    @Override
    public Report call() throws IOException {
        for (Path directory : suite.directories()) {
            try (Workspace workspace = Workspace.below(directory)) {
                measure(workspace);
            }
        }
        spoken.forEach((server, style) -> report.note(server + " spoke " + words(style)));
        return report;
    }

    private static String words(ReplyStyle style) {
        return switch (style) {
            case SIMPLE -> "simple replies";
            case STRUCTURED -> "structured replies";
            case EXTENDED -> "extended headers";
        };
    }

    private void measure(Workspace workspace) {
        if (suite.images() == Images.NEW) {
            for (Workload workload : suite.workloads()) {
                if (options.chosen(workload.name())) {
                    compare(workspace, workload, (peer, seconds) -> onNewImage(workspace, peer, workload, seconds));
                }
            }
            return;
        }
        options.progress("making a file on " + workspace.fileSystem());
        Path scratch = workspace.directory();
        BenchFile file = BenchFile.write(workspace.path("disk.raw"), options.sizeBytes(SIZE));
        if (!suite.direct()) {
            file.refill(scratch);
        }
        Map<Peer, ServerProcess> servers = new EnumMap<>(Peer.class);
        try {
            for (Peer peer : participants()) {
                Path served = suite.images() == Images.NONE ? file.path() : image(workspace, file, peer);
                servers.put(peer, peer.serve(served, scratch, options, suite));
            }
            for (Workload workload : suite.workloads()) {
                if (options.chosen(workload.name())) {
                    compare(
                            workspace,
                            workload,
                            (peer, seconds) -> sample(
                                    workspace, file.sizeBytes(), peer, server(servers, peer), workload, seconds));
                }
            }
        } finally {
            servers.values().forEach(ServerProcess::close);
        }
    }

    /** An image that nobody else serves, all of it allocated, made by the same program for all. */
    private static Path image(Workspace workspace, BenchFile file, Peer peer) {
        Path image = workspace.path(peer.label() + ".qcow2");
        String source = file.path().toString();
        Program.run(
                workspace.directory(),
                List.of("qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, image.toString()));
        return image;
    }

    private List<Peer> participants() {
        List<Peer> participants = new ArrayList<>(suite.peers());
        participants.addFirst(Peer.FERRY);
        return participants;
    }

    /** How one of them is measured. */
    @FunctionalInterface
    private interface Measurement {
        Sample of(Peer peer, int seconds);
    }

    private void compare(Workspace workspace, Workload workload, Measurement measurement) {
        List<Peer> order = participants();
        Map<Peer, List<Sample>> samples = new EnumMap<>(Peer.class);
        for (Peer peer : order) {
            samples.put(peer, new ArrayList<>());
            Sample _ = measurement.of(peer, Math.min(WARM_UP_SECONDS, options.seconds()));
        }
        for (int round = 0; round < options.rounds(); round++) {
            StringBuilder line = new StringBuilder(String.format(
                    Locale.ROOT,
                    "%s %s, %s, round %d:",
                    workspace.fileSystem(),
                    suite.label(),
                    workload.name(),
                    round + 1));
            for (int turn = 0; turn < order.size(); turn++) {
                Peer peer = order.get((round + turn) % order.size());
                Sample sample = measurement.of(peer, options.seconds());
                List<Sample> ofPeer = samples.get(peer);
                if (ofPeer != null) {
                    ofPeer.add(sample);
                }
                line.append(String.format(
                        Locale.ROOT,
                        "  %s %,.0f/s %.1f us CPU (%.1f the kernel's), median %.0f us",
                        peer.label(),
                        sample.load().perSecond(),
                        sample.cpuMicrosPerOperation(),
                        sample.kernelMicrosPerOperation(),
                        sample.load().medianMicros()));
            }
            options.progress(line.toString());
        }
        suite.targets().stream()
                .filter(target -> target.workload().equals(workload))
                .forEach(target -> report.add(comparison(workspace, target, samples)));
    }

    private static ServerProcess server(Map<Peer, ServerProcess> servers, Peer peer) {
        ServerProcess server = servers.get(peer);
        if (server == null) {
            throw new BenchException("no server of " + peer.label());
        }
        return server;
    }

    private LoadResult load(
            Workspace workspace, long sizeBytes, Peer peer, ServerProcess server, Workload workload, int seconds) {
        return switch (suite.load()) {
            case FIO -> Fio.run(workspace.directory(), server.uri(), sizeBytes, workload, seconds);
            case OWN_CLIENT -> {
                try (ClientLoad load = new ClientLoad(List.of(server.uri()))) {
                    spoken.put(peer.label(), load.replies());
                    yield load.run(sizeBytes, workload, seconds);
                }
            }
        };
    }

    /** One that has written to nothing yet, by a server that has just been started. */
    private Sample onNewImage(Workspace workspace, Peer peer, Workload workload, int seconds) {
        Path image = workspace.path("new.qcow2");
        List<String> create = List.of("qemu-img", "create", "-q", "-f", "qcow2", image.toString(), NEW_SIZE + "");
        Program.run(workspace.directory(), create);
        try (ServerProcess server = peer.serve(image, workspace.directory(), options, suite)) {
            return sample(workspace, NEW_SIZE, peer, server, workload, seconds);
        } finally {
            delete(image);
        }
    }

    private static void delete(Path image) {
        try {
            Files.deleteIfExists(image);
        } catch (IOException e) {
            throw new BenchException("cannot delete " + image + ": " + e.getMessage(), e);
        }
    }

    private Sample sample(
            Workspace workspace, long sizeBytes, Peer peer, ServerProcess server, Workload workload, int seconds) {
        ServerProcess.CpuTime before = server.cpuTime();
        LoadResult load = load(workspace, sizeBytes, peer, server, workload, seconds);
        return new Sample(load, server.cpuTime().since(before));
    }

    private Comparison comparison(Workspace workspace, ServerSuite.Target target, Map<Peer, List<Sample>> samples) {
        List<Sample> ours = samples.getOrDefault(Peer.FERRY, List.of());
        List<Sample> theirs = samples.getOrDefault(target.peer(), List.of());
        double[] ratios = new double[ours.size()];
        for (int round = 0; round < ratios.length; round++) {
            ratios[round] =
                    target.figure().of(ours.get(round)) / target.figure().of(theirs.get(round));
        }
        return new Comparison(
                workspace.fileSystem() + " " + suite.label(),
                target.workload().name(),
                target.figure().label(),
                Median.of(ours, target.figure()::of),
                target.peer().label(),
                Median.of(theirs, target.figure()::of),
                Median.of(ratios),
                target.goal());
    }
}
