package dev.ferry.cli;

import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.NbdServer;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code ferry nbd serve}: one file as an export, until it is stopped. */
@Command(
        name = "serve",
        description = {
            "Serves one file or block device over NBD until it is stopped, as qemu-nbd does.",
            "Listens at what systemd hands to it (LISTEN_FDS), or at a unix socket or a TCP port."
        },
        footer = {
            "",
            "Examples:",
            "  ferry nbd serve disk.raw --socket /tmp/nbd.sock",
            "  ferry nbd serve disk.raw --port 10809 --export vm1 --read-only",
            "  ferry nbd serve disk.qcow2 --format qcow2 --load-snapshot before-upgrade --socket /tmp/nbd.sock",
            "  ferry nbd serve disk.raw --bind 0.0.0.0 --tls-certificates /etc/pki/qemu --tls-client vm7",
            "",
            "docs/nbd.md has a table of qemu-nbd's options and what they are called here."
        })
final class NbdServeCommand implements Callable<Integer> {
    private static final long GOODBYE_SECONDS_MAX = 15;

    private final Screen screen;

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(paramLabel = "FILE", description = "What to serve.")
    private Path file = Path.of("");

    @Option(
            names = "--format",
            paramLabel = "F",
            defaultValue = "raw",
            description = "raw (default), qcow2, vmdk, vhd or vhdx. It is never guessed.")
    private String format = "";

    @Mixin
    private final ListenOptions where = new ListenOptions();

    @Mixin
    private final ExportOptions export = new ExportOptions();

    @Option(names = "--direct", description = "Past the page cache (O_DIRECT).")
    private boolean direct;

    @Option(names = "--persistent", description = "Stay when the last client has gone (default).")
    private boolean persistent;

    @Option(names = "--no-persistent", description = "End when the last client has gone.")
    private boolean forOneUse;

    @Option(
            names = "--pid-file",
            paramLabel = "P",
            description = "Write the process number there once clients can come.")
    private @Nullable Path pidFile;

    @Option(names = "--fork", description = "Return once clients can come; the server goes on in the background.")
    private boolean fork;

    @Option(
            names = "--loop",
            paramLabel = "KIND",
            defaultValue = "auto",
            description = "auto (default), io_uring or epoll.")
    private String loop = "";

    @Option(
            names = "--threads",
            paramLabel = "N",
            defaultValue = "1",
            description = "Event loops (default: 1; a file is served by one).")
    private int threads;

    @Mixin
    private final TableMemory tables = new TableMemory();

    @Mixin
    private final TlsServeOptions tls = new TlsServeOptions();

    @Mixin
    private final DeviceMaps devices = new DeviceMaps();

    NbdServeCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        ImageFormat known = ImageCommands.format(format);
        checkUsage(known);
        ServerTls security = tls.settings();
        if (fork) {
            List<String> arguments =
                    Objects.requireNonNull(spec).commandLine().getParseResult().originalArgs();
            return Background.start(screen, arguments);
        }
        DataPlane plane = DataPlane.start(threads, ServeCommand.kind(loop), tables.bytes());
        Stacks stacks = new Stacks(plane.loops(), devices.files());
        Path absolute = file.toAbsolutePath().normalize();
        DiskSpec served =
                new DiskSpec(absolute.toString(), absolute, Provisioning.THIN, export.leavesFile(), direct).in(known);
        export.load(plane.loops().getFirst(), served);
        String snapshot = export.loadSnapshot();
        OpenDisk disk = snapshot == null ? stacks.acquire(served) : stacks.acquireSnapshot(served, snapshot);
        NbdServer server = new NbdServer(export.settings(), security);
        CountDownLatch unused = new CountDownLatch(1);
        NbdUri uri;
        try {
            server.add(export.of(disk));
            if (forOneUse) {
                server.onUnused(unused::countDown);
            }
            uri = where.listen(server, plane, security, export.name());
        } catch (IOException | ProblemException | RuntimeException failed) {
            close(stacks, disk);
            throw failed;
        }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> end(server, stacks, disk)));
        if (pidFile != null) {
            Files.writeString(pidFile, ProcessHandle.current().pid() + "\n");
        }
        screen.print(uri.toString());
        unused.await();
        return Ferry.DONE;
    }

    private void checkUsage(ImageFormat known) throws ProblemException {
        where.check();
        if (persistent && forOneUse) {
            throw Problems.wrongUsage("--persistent and --no-persistent exclude each other; choose one");
        }
        export.check(known);
    }

    private void close(Stacks stacks, OpenDisk disk) throws BlockException {
        stacks.release(disk);
        export.keep(disk.loop(), disk.side().spec());
    }

    private void end(NbdServer server, Stacks stacks, OpenDisk disk) {
        CountDownLatch done = new CountDownLatch(1);
        server.shutdown(done::countDown);
        try {
            if (done.await(GOODBYE_SECONDS_MAX, TimeUnit.SECONDS)) {
                close(stacks, disk);
            }
            where.delete();
            if (pidFile != null) {
                Files.deleteIfExists(pidFile);
            }
        } catch (BlockException failed) {
            screen.error(failed.error().message());
            Runtime.getRuntime().halt(Ferry.FAILED);
        } catch (IOException | InterruptedException gone) {
            Runtime.getRuntime().halt(Ferry.FAILED);
        }
        Runtime.getRuntime().halt(Ferry.DONE);
    }
}
