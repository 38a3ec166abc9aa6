package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.device.EmptyFile;
import dev.ferry.device.FileCopy;
import dev.ferry.image.Provisioning;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.reactor.EventLoops;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Portions;
import dev.ferry.server.Problems;
import dev.ferry.server.Transfer;
import dev.ferry.server.Transfers;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.FileOpener;
import dev.ferry.stack.OnLoop;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry nbd copy}: the bytes of one disk to another; each is a file or an NBD export. */
@Command(
        name = "copy",
        description = {
            "Copies a disk that nobody changes meanwhile.",
            "Holes and zeroes are not copied. A target that is a file is made, or made over; an export has to",
            "be large enough. - is standard input or output."
        },
        footer = {
            "",
            "Examples:",
            "  ferry nbd copy nbd://host/vm1 vm1.raw",
            "  ferry nbd copy vm1.raw 'nbd+unix:///vm1?socket=/run/ferry/nbd.sock'",
            "  ferry nbd copy --connections 4 --verify nbd://a/vm1 nbds://b/vm1",
            "  ferry nbd copy nbd://host/vm1 - | zstd > vm1.zst"
        })
final class NbdCopyCommand implements Callable<Integer> {
    private static final double NANOS_PER_SECOND = 1e9;
    private static final long SHOWN_MILLIS = 200;
    private static final int CONNECTIONS = 4;

    private final Screen screen;

    @Parameters(index = "0", paramLabel = "SOURCE", description = "A file, an NBD URI, or -.")
    private String source = "";

    @Parameters(index = "1", paramLabel = "TARGET", description = "A file, an NBD URI, or -.")
    private String target = "";

    @Option(names = "--direct", description = "Files past the page cache (O_DIRECT).")
    private boolean direct;

    @Option(names = "--flush", description = "Returns when the copy of a file to a file is durable. Others always are.")
    private boolean flush;

    @Option(
            names = "--connections",
            paramLabel = "N",
            description =
                    "Connections to each server that allows several (default: 4; to a unix socket no more than there are processors).")
    private @Nullable Integer connections;

    @Option(
            names = "--reconnect",
            paramLabel = "SECONDS",
            defaultValue = "0",
            description = "How long to wait for a server that goes away meanwhile (default: 0, not at all).")
    private int reconnectSeconds;

    @Option(names = "--tls-certificates", paramLabel = "DIR", description = "For URIs with nbds that name none.")
    private @Nullable Path certificates;

    @Option(names = "--verify", description = "Read both sides again and compare them.")
    private boolean verify;

    private int threads = 1;
    private boolean severalAllowed = true;

    NbdCopyCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        if (connections != null && (connections < 1 || connections > 64)) {
            throw Problems.wrongUsage("--connections is a number from 1 to 64");
        }
        long beganNanos = System.nanoTime();
        if (source.equals("-") || target.equals("-")) {
            return pipe(beganNanos);
        }
        if (!direct && !NbdUri.looksLikeOne(source) && !NbdUri.looksLikeOne(target)) {
            Path from = Path.of(source);
            if (Files.isRegularFile(from) && makeFile(Path.of(target), 0)) {
                FileCopy.run(from, Path.of(target), flush, _ -> {});
                report(Files.size(from), beganNanos);
                return verify ? compareFiles() : Ferry.DONE;
            }
        }
        threads = threadsWanted();
        try (DataPlane plane = NbdCommands.plane()) {
            DiskLoop loop = plane.loops().getFirst();
            BlockDevice from = open(loop, source, true);
            long sizeBytes = from.geometry().sizeBytes();
            boolean fresh = !NbdUri.looksLikeOne(target) && makeFile(Path.of(target), sizeBytes);
            BlockDevice to = open(loop, target, false);
            if (to.geometry().sizeBytes() < sizeBytes) {
                throw BlockError.of(
                                ErrorKind.INVALID,
                                target,
                                "copy",
                                "it holds " + to.geometry().sizeBytes() + " bytes, the source has " + sizeBytes)
                        .toException();
            }
            Portions portions = Portions.of(sizeBytes);
            int more = (int) Math.min(threads, portions.count()) - 1;
            Transfer transfer = Transfer.sharing(portions, loop.loop(), from, to, fresh);
            transfer(transfer, portions, severalAllowed ? Math.max(0, more) : 0, fresh, sizeBytes);
            OnLoop.await(loop.loop(), to::flush);
            report(sizeBytes, beganNanos);
            int result = verify ? compare(loop, from, to) : Ferry.DONE;
            OnLoop.await(loop.loop(), to::close);
            OnLoop.await(loop.loop(), from::close);
            return result;
        }
    }

    /** Copies by {@code more} threads besides the first, and shows on a terminal how far it has come. */
    private void transfer(Transfer first, Portions portions, int more, boolean fresh, long sizeBytes) throws Exception {
        Transfers all = new Transfers();
        CountDownLatch done = new CountDownLatch(1);
        Thread shower = screen.terminal() ? Thread.ofVirtual().start(() -> show(all, sizeBytes, done)) : null;
        try {
            all.begin(first);
            if (more > 0) {
                besides(all, portions, more, fresh);
            } else {
                all.join();
            }
        } finally {
            done.countDown();
            if (shower != null) {
                joinQuietly(shower);
            }
        }
    }

    /**
     * Has {@code more} threads copy too, each with files and connections of its own; fewer, if a server has no place for so
     * many. Returns when all have ended.
     */
    private void besides(Transfers all, Portions portions, int more, boolean fresh) throws Exception {
        try (DataPlane plane = DataPlane.start(more, EventLoops.Kind.AUTO)) {
            List<Transfer> others = new ArrayList<>();
            for (DiskLoop loop : plane.loops()) {
                try {
                    BlockDevice from = open(loop, others.size() + 1, source, true);
                    BlockDevice to = open(loop, others.size() + 1, target, false);
                    Transfer transfer = Transfer.sharing(portions, loop.loop(), from, to, fresh);
                    others.add(transfer);
                    all.begin(transfer);
                } catch (BlockException refused) {
                    if (refused.kind() == ErrorKind.CANCELLED || refused.kind() == ErrorKind.CLOSED) {
                        throw refused;
                    }
                    break;
                }
            }
            all.join();
            for (Transfer other : others) {
                other.close();
            }
        }
    }

    private void show(Transfers all, long sizeBytes, CountDownLatch done) {
        try {
            while (!done.await(SHOWN_MILLIS, TimeUnit.MILLISECONDS)) {
                long copied = all.doneBytes();
                screen.out()
                        .print("\r\u001b[K" + Quantities.size(copied) + " of " + Quantities.size(sizeBytes)
                                + String.format(Locale.ROOT, ", %.0f %%", 100.0 * copied / Math.max(1, sizeBytes)));
                screen.out().flush();
            }
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
        screen.out().print("\r\u001b[K");
        screen.out().flush();
    }

    private static void joinQuietly(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private int compareFiles() throws Exception {
        try (DataPlane plane = NbdCommands.plane()) {
            DiskLoop loop = plane.loops().getFirst();
            BlockDevice from = open(loop, source, true);
            BlockDevice to = open(loop, target, true);
            int result = compare(loop, from, to);
            OnLoop.await(loop.loop(), to::close);
            OnLoop.await(loop.loop(), from::close);
            return result;
        }
    }

    /** A target that is longer may have anything beyond the source's end. */
    private int compare(DiskLoop loop, BlockDevice from, BlockDevice to) throws BlockException {
        long differs = Comparison.firstDifference(loop.loop(), from, to);
        if (differs >= 0 && differs < from.geometry().sizeBytes()) {
            screen.error(target + " differs from " + source + ", first at byte " + differs + "; copy it again");
            return Ferry.FAILED;
        }
        screen.print("verified: they are equal");
        return Ferry.DONE;
    }

    private int pipe(long beganNanos) throws Exception {
        if (source.equals(target) || verify) {
            throw Problems.wrongUsage("a stream goes to a disk or comes from one, and cannot be verified");
        }
        try (DataPlane plane = NbdCommands.plane()) {
            DiskLoop loop = plane.loops().getFirst();
            if (target.equals("-")) {
                BlockDevice from = open(loop, source, true);
                // Not the screen's stream, which keeps errors to itself: a pipe that broke has to end this.
                new Piping(loop.loop(), from).to(new FileOutputStream(FileDescriptor.out));
                OnLoop.await(loop.loop(), from::close);
                return Ferry.DONE;
            }
            if (!NbdUri.looksLikeOne(target) && makeFile(Path.of(target), 0)) {
                long bytes = Files.copy(System.in, Path.of(target), StandardCopyOption.REPLACE_EXISTING);
                report(bytes, beganNanos);
                return Ferry.DONE;
            }
            BlockDevice to = open(loop, target, false);
            long bytes = new Piping(loop.loop(), to).from(System.in);
            OnLoop.await(loop.loop(), to::close);
            report(bytes, beganNanos);
        }
        return Ferry.DONE;
    }

    private void report(long sizeBytes, long beganNanos) {
        double seconds = (System.nanoTime() - beganNanos) / NANOS_PER_SECOND;
        screen.print(String.format(Locale.ROOT, "%s in %.1f s", Quantities.size(sizeBytes), seconds));
    }

    /** Over a link with delay one connection that has lost a packet sends less for a while; several fill it meanwhile. */
    private int connectionsTo(NbdUri uri) {
        if (connections != null) {
            return connections;
        }
        return uri instanceof NbdUri.Tcp
                ? CONNECTIONS
                : Math.min(CONNECTIONS, Runtime.getRuntime().availableProcessors());
    }

    /** How many threads copy if the disk is long enough: no more than there are connections or processors. */
    private int threadsWanted() throws BlockException {
        int wanted = NbdUri.looksLikeOne(source) || NbdUri.looksLikeOne(target) ? CONNECTIONS : 1;
        for (String text : List.of(source, target)) {
            wanted = NbdUri.looksLikeOne(text) ? Math.min(wanted, connectionsTo(NbdUri.parse(text))) : wanted;
        }
        return Math.min(wanted, Runtime.getRuntime().availableProcessors());
    }

    /** @param thread the first has number 0 */
    private ClientSettings settings(NbdUri uri, int thread) {
        return ClientSettings.DEFAULT
                .withConnections(Math.ceilDiv(connectionsTo(uri) - thread, threads))
                .withReconnectMax(Duration.ofSeconds(reconnectSeconds))
                .withTlsCertificates(certificates);
    }

    private BlockDevice open(DiskLoop loop, String text, boolean readOnly) throws BlockException {
        return open(loop, 0, text, readOnly);
    }

    private BlockDevice open(DiskLoop loop, int thread, String text, boolean readOnly) throws BlockException {
        BlockDevice device;
        if (NbdUri.looksLikeOne(text)) {
            NbdUri uri = NbdUri.parse(text);
            NbdClientDevice export = NbdClientDevice.open(loop.events(), uri, settings(uri, thread));
            severalAllowed &= export.allowsSeveral();
            device = export;
        } else {
            Path path = Path.of(text).toAbsolutePath().normalize();
            FileOpener files = thread == 0 ? DataPlane.FILES_ALONE : DataPlane.FILES_BESIDE;
            device = files.open(loop, new DiskSpec(text, path, Provisioning.THIN, readOnly, direct));
        }
        return CheckedDevice.of(device, text);
    }

    /**
     * Makes the target file as long as the source, and empty.
     *
     * @return true if it is a file that reads as zeroes now; false for a block device
     */
    private boolean makeFile(Path path, long sizeBytes) throws IOException {
        if (Files.exists(path) && !Files.isRegularFile(path)) {
            return false;
        }
        if (!NbdUri.looksLikeOne(source) && Files.exists(path) && Files.isSameFile(path, Path.of(source))) {
            throw new IOException("source and target are the same file: " + path);
        }
        try {
            EmptyFile.make(path.toAbsolutePath().normalize(), sizeBytes);
        } catch (BlockException failed) {
            throw new IOException("the target cannot be made: " + failed.getMessage(), failed);
        }
        return true;
    }
}
