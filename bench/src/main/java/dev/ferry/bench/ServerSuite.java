package dev.ferry.bench;

import java.nio.file.Path;
import java.util.List;

/**
 * What a comparison of NBD servers consists of.
 *
 * @param directories on whose file systems to measure
 * @param direct whether servers bypass the page cache
 * @param tcp through TCP on loopback, not a unix socket
 * @param images what each serves instead of the one raw file
 * @param security how what is said is kept secret
 * @param load whose requests they answer
 * @param peers the others
 * @param targets what is measured and what is to be reached
 */
record ServerSuite(
        List<Path> directories,
        boolean direct,
        boolean tcp,
        Images images,
        Security security,
        Load load,
        List<Peer> peers,
        List<Target> targets) {
    private static final Workload READ = new Workload("randread", 4096, 32);
    private static final Workload WRITE = new Workload("randwrite", 4096, 32);
    private static final Workload READ_ALONE = new Workload("randread", 4096, 1);
    private static final Workload WRITE_ALONE = new Workload("randwrite", 4096, 1);
    private static final Workload STREAM_READ = new Workload("read", 256 << 10, 16);
    private static final Workload STREAM_WRITE = new Workload("write", 256 << 10, 16);

    /** Images in qcow2 of their own, which servers are given. */
    enum Images {
        /** None: all serve one raw file. */
        NONE,
        /** One each, all of it allocated. */
        ALLOCATED,
        /** A new one for each measurement, so large that nearly every write is the first to its cluster. */
        NEW
    }

    /** Who asks. */
    enum Load {
        /** fio's nbd engine, whose library asks for structured replies. */
        FIO,
        /** Ferry's own client, which asks for extended headers first, and then for structured replies. */
        OWN_CLIENT
    }

    ServerSuite(
            List<Path> directories,
            boolean direct,
            boolean tcp,
            Images images,
            Load load,
            List<Peer> peers,
            List<Target> targets) {
        this(directories, direct, tcp, images, Security.NONE, load, peers, targets);
    }

    /** One server in one round. */
    record Sample(LoadResult load, ServerProcess.CpuTime cpu) {
        double cpuMicrosPerOperation() {
            return perOperation(cpu.nanos());
        }

        /** Of it, what the kernel took. */
        double kernelMicrosPerOperation() {
            return perOperation(cpu.kernelNanos());
        }

        private double perOperation(long nanos) {
            return load.operations() == 0 ? 0 : nanos / 1000.0 / load.operations();
        }
    }

    /** A figure that samples have. */
    enum Figure {
        IOPS("IOPS"),
        CPU("CPU us/op"),
        LATENCY("median us");

        private final String label;

        Figure(String label) {
            this.label = label;
        }

        String label() {
            return label;
        }

        double of(Sample sample) {
            return switch (this) {
                case IOPS -> sample.load().perSecond();
                case CPU -> sample.cpuMicrosPerOperation();
                case LATENCY -> sample.load().medianMicros();
            };
        }
    }

    /** A figure of Ferry's, as a ratio to a peer's. */
    record Target(Workload workload, Figure figure, Peer peer, Goal goal) {}

    static ServerSuite cached(BenchOptions options) {
        return cached(options, Load.FIO);
    }

    /** The same, asked by a client that speaks extended headers where the server does. */
    static ServerSuite extended(BenchOptions options) {
        return cached(options, Load.OWN_CLIENT);
    }

    private static ServerSuite cached(BenchOptions options, Load load) {
        List<Target> targets = List.of(
                atLeast(READ, Peer.NBDKIT, 1.5),
                atMost(READ, Figure.CPU, Peer.NBDKIT, 0.6),
                atLeast(READ, Peer.QEMU_NBD, 4),
                atLeast(WRITE, Peer.NBDKIT, 1.25),
                atMost(WRITE, Figure.CPU, Peer.NBDKIT, 0.75),
                atLeast(WRITE, Peer.QEMU_NBD, 4),
                atMost(READ_ALONE, Figure.LATENCY, Peer.NBDKIT, 0.75),
                atMost(READ_ALONE, Figure.CPU, Peer.NBDKIT, 0.6),
                atMost(WRITE_ALONE, Figure.LATENCY, Peer.NBDKIT, 0.75),
                atMost(WRITE_ALONE, Figure.CPU, Peer.NBDKIT, 0.6),
                atLeast(STREAM_READ, Peer.NBDKIT, 1.4),
                atMost(STREAM_READ, Figure.CPU, Peer.NBDKIT, 0.25),
                atLeast(STREAM_WRITE, Peer.NBDKIT, 1.1));
        return new ServerSuite(
                options.directories(), false, false, Images.NONE, load, List.of(Peer.NBDKIT, Peer.QEMU_NBD), targets);
    }

    static ServerSuite direct(BenchOptions options) {
        List<Target> targets = List.of(
                atLeast(READ, Peer.QEMU_NBD, 1.5),
                atMost(READ, Figure.CPU, Peer.QEMU_NBD, 0.5),
                atLeast(WRITE, Peer.QEMU_NBD, 2.2),
                atMost(WRITE, Figure.CPU, Peer.QEMU_NBD, 0.5));
        return new ServerSuite(
                options.directories(), true, false, Images.NONE, Load.FIO, List.of(Peer.QEMU_NBD), targets);
    }

    static ServerSuite qcow2(BenchOptions options) {
        List<Target> targets = List.of(
                atLeast(READ, Peer.QEMU_NBD, 2),
                shown(READ, Figure.CPU, Peer.QEMU_NBD),
                atLeast(WRITE, Peer.QEMU_NBD, 2),
                shown(WRITE, Figure.CPU, Peer.QEMU_NBD),
                atLeast(STREAM_READ, Peer.QEMU_NBD, 1.2),
                atLeast(STREAM_WRITE, Peer.QEMU_NBD, 1.2));
        return new ServerSuite(
                options.directories(), false, false, Images.ALLOCATED, Load.FIO, List.of(Peer.QEMU_NBD), targets);
    }

    /** Writes that allocate. */
    static ServerSuite allocating(BenchOptions options) {
        List<Target> targets = List.of(
                atLeast(WRITE, Peer.QEMU_NBD, 2),
                shown(WRITE, Figure.CPU, Peer.QEMU_NBD),
                atLeast(STREAM_WRITE, Peer.QEMU_NBD, 1.2),
                shown(STREAM_WRITE, Figure.CPU, Peer.QEMU_NBD));
        return new ServerSuite(
                options.directories(), false, false, Images.NEW, Load.FIO, List.of(Peer.QEMU_NBD), targets);
    }

    /** Through TLS, by our own client, which is the same for both. */
    static ServerSuite secure(BenchOptions options, Security security) {
        List<Target> targets = List.of(
                atLeast(STREAM_READ, Peer.NBDKIT, 1),
                shown(STREAM_READ, Figure.CPU, Peer.NBDKIT),
                atLeast(STREAM_WRITE, Peer.NBDKIT, 1),
                shown(STREAM_WRITE, Figure.CPU, Peer.NBDKIT));
        return new ServerSuite(
                options.directories(),
                false,
                false,
                Images.NONE,
                security,
                Load.OWN_CLIENT,
                List.of(Peer.NBDKIT),
                targets);
    }

    static ServerSuite cachedTcp(BenchOptions options) {
        List<Target> targets = List.of(
                atLeast(READ, Peer.NBDKIT, 1.3),
                shown(READ, Figure.CPU, Peer.NBDKIT),
                atLeast(WRITE, Peer.NBDKIT, 1.3),
                shown(WRITE, Figure.CPU, Peer.NBDKIT));
        return new ServerSuite(
                options.directories(), false, true, Images.NONE, Load.FIO, List.of(Peer.NBDKIT), targets);
    }

    static ServerSuite directTcp(BenchOptions options) {
        List<Target> targets = List.of(
                atLeast(READ, Peer.QEMU_NBD, 1.4),
                shown(READ, Figure.CPU, Peer.QEMU_NBD),
                atLeast(WRITE, Peer.QEMU_NBD, 1.4),
                shown(WRITE, Figure.CPU, Peer.QEMU_NBD));
        return new ServerSuite(
                options.directories(), true, true, Images.NONE, Load.FIO, List.of(Peer.QEMU_NBD), targets);
    }

    /** The workloads of all targets, each once, in their order. */
    List<Workload> workloads() {
        return targets.stream().map(Target::workload).distinct().toList();
    }

    /** What is measured, for a report. */
    String label() {
        return format(images)
                + (tcp ? "tcp" : "unix")
                + (direct ? " O_DIRECT" : " cached")
                + (security == Security.NONE ? "" : " " + security.label())
                + (load == Load.OWN_CLIENT ? " own client" : "");
    }

    private static String format(Images images) {
        return switch (images) {
            case NONE -> "";
            case ALLOCATED -> "qcow2 ";
            case NEW -> "new qcow2 ";
        };
    }

    private static Target atLeast(Workload workload, Peer peer, double bound) {
        return new Target(workload, Figure.IOPS, peer, new Goal.AtLeast(bound));
    }

    private static Target atMost(Workload workload, Figure figure, Peer peer, double bound) {
        return new Target(workload, figure, peer, new Goal.AtMost(bound));
    }

    private static Target shown(Workload workload, Figure figure, Peer peer) {
        return new Target(workload, figure, peer, new Goal.None());
    }
}
