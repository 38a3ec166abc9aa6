package dev.ferry.cli.demo;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Loop;
import dev.ferry.cli.Progress;
import dev.ferry.cli.Quantities;
import dev.ferry.cli.Screen;
import dev.ferry.migration.MigrationState;
import dev.ferry.migration.MigrationStatus;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.reactor.EventLoops;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.MigrateRequest;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.client.DaemonClient;
import dev.ferry.stack.OnLoop;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code ferry demo}: a live move, from nothing, on this machine. */
@Command(
        name = "demo",
        description = {
            "Shows a live move on this machine, with nothing to prepare.",
            "Two datastores in a temporary directory, a disk with data, a guest that reads and writes it over",
            "NBD and checks all that it reads, and a move of the disk meanwhile. Leaves nothing behind."
        },
        footer = {
            "",
            "Examples:",
            "  ferry demo",
            "  ferry demo --size 4G --rate 300M --iops 8000",
            "  ferry demo --json --no-verify"
        })
public final class DemoCommand implements Callable<Integer> {
    private static final int FILL_PERCENT = 55;
    private static final long SIZE_BYTES_MIN = 16L << 20;
    private static final long SIZE_BYTES_MAX = 64L << 30;
    private static final long POLL_MILLIS = 50;
    private static final String DISK = "demo";
    private static final double MIB = 1 << 20;

    private final Screen screen;

    @Option(
            names = "--size",
            paramLabel = "S",
            converter = Quantities.Size.class,
            defaultValue = "512M",
            description = "Size of the disk, of which a little more than half is filled (default: 512M).")
    private long sizeBytes;

    @Option(
            names = "--rate",
            paramLabel = "R",
            converter = Quantities.Rate.class,
            defaultValue = "0",
            description = "Copy at most this much per second (default: no bound).")
    private long bytesPerSecond;

    @Option(
            names = "--iops",
            paramLabel = "N",
            defaultValue = "4000",
            description = "Requests per second of the guest (default: 4000).")
    private int iops;

    @Option(
            names = "--depth",
            paramLabel = "N",
            defaultValue = "8",
            description = "Requests of the guest in flight at most (default: 8).")
    private int depth;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            defaultValue = "3",
            description = "How long the guest is watched before and after the move (default: 3).")
    private int seconds;

    @Option(
            names = "--verify",
            negatable = true,
            defaultValue = "true",
            fallbackValue = "true",
            description = "Prove both sides equal before the switch (default); --no-verify goes without.")
    private boolean verify;

    @Option(names = "--dir", paramLabel = "DIR", description = "Where to make the temporary directory.")
    private @Nullable Path parent;

    @Option(names = "--json", description = "One JSON object instead of words.")
    private boolean json;

    public DemoCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        check();
        Path temporary = parent != null ? parent : Path.of(System.getProperty("java.io.tmpdir", "/tmp"));
        if (!Files.isDirectory(temporary)) {
            throw new IOException("there is no directory " + temporary + "; choose another with --dir");
        }
        say("starting a daemon and two datastores below " + temporary);
        try (DemoHost host = DemoHost.start(temporary);
                DataPlane plane = DataPlane.start(1, EventLoops.Kind.AUTO)) {
            String uri = host.makeDisk(DISK, sizeBytes);
            Loop loop = plane.loops().getFirst().loop();
            BlockDevice disk = NbdClientDevice.open(plane.listening(), NbdUri.parse(uri), ClientSettings.DEFAULT);
            DemoReport report = show(host.client(), loop, disk);
            OnLoop.await(loop, disk::close);
            if (json) {
                screen.json(report);
            } else {
                report.print(screen);
            }
            if (!report.good()) {
                screen.error("the demonstration failed: " + report.wrongReads() + " wrong reads, source and target "
                        + (Boolean.FALSE.equals(report.equal()) ? "differ" : "are equal") + "; please report it");
                return 1;
            }
            return 0;
        }
    }

    private void check() throws ProblemException {
        if (sizeBytes < SIZE_BYTES_MIN || sizeBytes > SIZE_BYTES_MAX || sizeBytes % Sweep.PIECE_BYTES != 0) {
            throw Problems.wrongUsage("--size is from 16M to 64G, in steps of 256K");
        }
        if (iops < 1 || depth < 1 || depth > 256 || seconds < 1 || seconds > 600) {
            throw Problems.wrongUsage("--iops is at least 1, --depth from 1 to 256, --seconds from 1 to 600");
        }
    }

    private void say(String line) {
        if (!json) {
            screen.print(screen.faint(line + " ..."));
        }
    }

    private DemoReport show(DaemonClient client, Loop loop, BlockDevice disk)
            throws BlockException, ProblemException, InterruptedException, IOException {
        GuestModel model = new GuestModel(sizeBytes);
        say("filling a disk of " + Quantities.size(sizeBytes));
        Sweep.fill(loop, disk, model, FILL_PERCENT);
        GuestLoad guest = new GuestLoad(loop, disk, model, iops, depth, System.nanoTime());
        say("a guest begins: 4 KiB at random, half reads and half writes, " + iops + " per second");
        guest.start();
        TimeUnit.SECONDS.sleep(1);
        GuestLoad.Interval _ = guest.interval();
        TimeUnit.SECONDS.sleep(seconds);
        GuestLoad.Interval before = guest.interval();
        say("the disk moves");
        MigrationStatus moved = move(client);
        GuestLoad.Interval during = guest.interval();
        say("the guest goes on");
        TimeUnit.SECONDS.sleep(seconds);
        GuestLoad.Interval after = guest.interval();
        guest.stop();
        BlockError failure = guest.failure();
        if (failure != null) {
            throw new IOException("a request of the guest failed: " + failure.message());
        }
        say("reading all of it once more");
        long wrong = guest.wrongReads() + Sweep.compare(loop, disk, model);
        return report(moved, before, during, after, wrong, guest.reads());
    }

    private MigrationStatus move(DaemonClient client) throws ProblemException, InterruptedException, IOException {
        MigrateRequest request = new MigrateRequest(
                List.of(DISK),
                "slow",
                "mirror",
                null,
                null,
                null,
                bytesPerSecond,
                0,
                0,
                0,
                null,
                verify,
                false,
                0,
                null,
                null,
                false);
        MigrationStatus status = client.post("/v1/migrations", request, MigrationStatus.class);
        Progress progress = new Progress(screen, json);
        while (status.state() == MigrationState.RUNNING
                || (status.state() == MigrationState.SWITCHED && status.error() == null)) {
            progress.show(status);
            Thread.sleep(POLL_MILLIS);
            status = client.get("/v1/migrations/" + status.id(), MigrationStatus.class);
        }
        progress.end();
        if (status.state() != MigrationState.DONE) {
            throw new IOException("the move is " + status.state().text() + ": " + status.error());
        }
        return status;
    }

    private DemoReport report(
            MigrationStatus moved,
            GuestLoad.Interval before,
            GuestLoad.Interval during,
            GuestLoad.Interval after,
            long wrong,
            long reads) {
        MigrationStatus.DiskStatus disk = moved.disks().getFirst();
        Double pauseMillis = disk.switchoverPauseMillis();
        Boolean equal =
                verify ? disk.verified() && String.valueOf(disk.sourceDigest()).equals(disk.targetDigest()) : null;
        return new DemoReport(
                moved.seconds(),
                disk.bytesCopied() / MIB / Math.max(moved.seconds(), 1e-3),
                new DemoReport.Guest(feeling(before), feeling(during), feeling(after)),
                during.longestMillis(),
                pauseMillis == null ? 0 : pauseMillis,
                disk.sourceDigest(),
                disk.targetDigest(),
                equal,
                wrong,
                new DemoReport.Facts(sizeBytes, disk.bytesCopied(), reads, sizeBytes / GuestModel.BLOCK_BYTES));
    }

    private static DemoReport.Feeling feeling(GuestLoad.Interval felt) {
        return new DemoReport.Feeling(felt.iops(), felt.p99Micros());
    }
}
