package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.filter.Slice;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.Export;
import dev.ferry.nbd.server.NbdServer;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.wire.TlsMode;
import dev.ferry.reactor.Descriptors;
import dev.ferry.reactor.Sockets;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
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
            description = "raw (default), qcow2; vmdk, vhd: with --read-only. It is never guessed.")
    private String format = "";

    @Option(names = "--socket", paramLabel = "P", description = "Listen at this unix socket.")
    private @Nullable Path socket;

    @Option(
            names = "--port",
            paramLabel = "N",
            description = "Listen at this TCP port (default: 10809, unless --socket is given).")
    private @Nullable Integer port;

    @Option(
            names = "--bind",
            paramLabel = "HOST",
            defaultValue = "127.0.0.1",
            description = "Address of the port (default: 127.0.0.1). Nothing is encrypted without --tls-certificates.")
    private String host = "";

    @Option(
            names = "--export",
            paramLabel = "NAME",
            defaultValue = "",
            description = "Name of the export (default: none).")
    private String export = "";

    @Option(
            names = "--description",
            paramLabel = "TEXT",
            description = "What clients are told of it (default: the file's path).")
    private @Nullable String description;

    @Option(names = "--read-only", description = "Take no changes.")
    private boolean readOnly;

    @Option(names = "--direct", description = "Past the page cache (O_DIRECT).")
    private boolean direct;

    @Option(
            names = "--offset",
            paramLabel = "S",
            defaultValue = "0",
            converter = Quantities.Size.class,
            description = "Serve only what is from here on.")
    private long offset;

    @Option(
            names = "--size",
            paramLabel = "S",
            converter = Quantities.Size.class,
            description = "Serve only so much (default: all there is).")
    private @Nullable Long size;

    @Option(
            names = "--filter",
            paramLabel = "F",
            description = "A layer before the disk, for drills: delay=20ms, fault=write:0.1%%; may be repeated.")
    private List<String> filters = List.of();

    @Option(
            names = "--shared",
            paramLabel = "N",
            defaultValue = "0",
            description = "So many clients at once (default: 0, as many as come).")
    private int shared;

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
    private final TlsServeOptions tls = new TlsServeOptions();

    NbdServeCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        ImageFormat known = ImageCommands.format(format);
        checkUsage();
        ServerTls security = tls.settings();
        if (fork) {
            List<String> arguments = java.util.Objects.requireNonNull(spec)
                    .commandLine()
                    .getParseResult()
                    .originalArgs();
            return Background.start(screen, arguments);
        }
        DataPlane plane = DataPlane.start(threads, ServeCommand.kind(loop));
        Stacks stacks = new Stacks(plane.loops(), DataPlane.FILES);
        Path absolute = file.toAbsolutePath().normalize();
        OpenDisk disk = stacks.acquire(
                new DiskSpec(absolute.toString(), absolute, Provisioning.THIN, readOnly, direct).in(known));
        NbdServer server = new NbdServer(settings(), security);
        server.add(new Export(
                export,
                description == null ? absolute.toString() : description,
                front(disk),
                disk.loop().events(),
                disk.loop().buffers(),
                readOnly));
        CountDownLatch unused = new CountDownLatch(1);
        if (forOneUse) {
            server.onUnused(unused::countDown);
        }
        NbdUri uri = listen(server, plane, security);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> end(server, stacks, disk)));
        if (pidFile != null) {
            Files.writeString(pidFile, ProcessHandle.current().pid() + "\n");
        }
        screen.print(uri.toString());
        unused.await();
        return Ferry.DONE;
    }

    private void checkUsage() throws ProblemException {
        if (socket != null && port != null) {
            throw Problems.wrongUsage("--socket and --port exclude each other; choose one");
        }
        if (port != null && (port < 0 || port > 65535)) {
            throw Problems.wrongUsage("--port is a number from 0 to 65535");
        }
        if (persistent && forOneUse) {
            throw Problems.wrongUsage("--persistent and --no-persistent exclude each other; choose one");
        }
        if (shared < 0) {
            throw Problems.wrongUsage("--shared is a number of clients, or 0 for as many as come");
        }
    }

    private ServerSettings settings() {
        return shared == 0 ? ServerSettings.DEFAULT : ServerSettings.DEFAULT.withClientsPerExportMax(shared);
    }

    private BlockDevice front(OpenDisk disk) throws ProblemException {
        BlockDevice front = disk.front();
        if (offset != 0 || size != null) {
            long length = size == null ? disk.sizeBytes() - offset : size;
            if (!Slice.fits(front.geometry(), offset, length)) {
                throw Problems.wrongUsage("the disk has " + disk.sizeBytes() + " bytes in blocks of "
                        + front.geometry().blockSizeBytes() + "; --offset and --size have to fit it");
            }
            front = CheckedDevice.of(new Slice(front, offset, length), disk.name());
        }
        return ServeFilters.inFrontOf(front, disk.loop().loop(), disk.name(), filters);
    }

    private NbdUri listen(NbdServer server, DataPlane plane, ServerTls security) throws IOException, ProblemException {
        NbdUri.Tls secure = security.mode() == TlsMode.REQUIRE ? new NbdUri.Tls(null, true, null) : null;
        List<Descriptors.Inherited> given = Descriptors.inherited(System.getenv());
        if (!given.isEmpty()) {
            if (socket != null || port != null) {
                throw Problems.wrongUsage("the sockets come from systemd (LISTEN_FDS); leave out --socket and --port");
            }
            for (Descriptors.Inherited one : given) {
                server.listen(plane.listening(), Sockets.adopt(one.descriptor()));
            }
            int first = given.getFirst().descriptor();
            Path path = Sockets.localPath(first);
            return path != null
                    ? new NbdUri.Unix(path, export, secure)
                    : new NbdUri.Tcp(host, Sockets.localPort(first), export, secure);
        }
        if (socket != null) {
            Path path = socket.toAbsolutePath().normalize();
            int listener = Sockets.listenUnix(path);
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
            server.listen(plane.listening(), listener);
            return new NbdUri.Unix(path, export, secure);
        }
        InetSocketAddress address = new InetSocketAddress(host, port == null ? NbdUri.DEFAULT_PORT : port);
        if (address.isUnresolved()) {
            throw new IOException("there is no host '" + host + "'");
        }
        int listener = Sockets.listenTcp(address);
        NbdUri uri = new NbdUri.Tcp(host, Sockets.localPort(listener), export, secure);
        server.listen(plane.listening(), listener);
        return uri;
    }

    private void end(NbdServer server, Stacks stacks, OpenDisk disk) {
        CountDownLatch done = new CountDownLatch(1);
        server.shutdown(done::countDown);
        try {
            if (done.await(GOODBYE_SECONDS_MAX, TimeUnit.SECONDS)) {
                stacks.release(disk);
            }
            if (socket != null) {
                Files.deleteIfExists(socket);
            }
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
