package dev.ferry.cli;

import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.Export;
import dev.ferry.nbd.server.NbdServer;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.reactor.Sockets;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry nbd serve}: one file as an export, until it is stopped. */
@Command(
        name = "serve",
        description = "Serves one file or block device over NBD until it is stopped, as qemu-nbd does.",
        footer = {
            "",
            "Examples:",
            "  ferry nbd serve disk.raw --socket /tmp/nbd.sock",
            "  ferry nbd serve disk.raw --port 10809 --export vm1 --read-only"
        })
final class NbdServeCommand implements Callable<Integer> {
    private static final long GOODBYE_SECONDS_MAX = 15;

    private final Screen screen;

    @Parameters(paramLabel = "FILE", description = "What to serve.")
    private Path file = Path.of("");

    @Option(
            names = "--format",
            paramLabel = "F",
            defaultValue = "raw",
            description = "raw (default), qcow2; vmdk, vhd: with --read-only.")
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
            description = "Address of the port (default: 127.0.0.1). Nothing is encrypted.")
    private String host = "";

    @Option(
            names = "--export",
            paramLabel = "NAME",
            defaultValue = "",
            description = "Name of the export (default: none).")
    private String export = "";

    @Option(names = "--read-only", description = "Take no changes.")
    private boolean readOnly;

    @Option(names = "--direct", description = "Past the page cache (O_DIRECT).")
    private boolean direct;

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

    NbdServeCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        ImageFormat known = ImageCommands.format(format);
        if (socket != null && port != null) {
            throw Problems.wrongUsage("--socket and --port exclude each other; choose one");
        }
        if (port != null && (port < 0 || port > 65535)) {
            throw Problems.wrongUsage("--port is a number from 0 to 65535");
        }
        DataPlane plane = DataPlane.start(threads, ServeCommand.kind(loop));
        Stacks stacks = new Stacks(plane.loops(), DataPlane.FILES);
        Path absolute = file.toAbsolutePath().normalize();
        OpenDisk disk = stacks.acquire(
                new DiskSpec(absolute.toString(), absolute, Provisioning.THIN, readOnly, direct).in(known));
        NbdServer server = new NbdServer(ServerSettings.DEFAULT);
        server.add(new Export(
                export,
                absolute.toString(),
                disk.front(),
                disk.loop().events(),
                disk.loop().buffers(),
                readOnly));
        NbdUri uri = listen(server, plane);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> end(server, stacks, disk)));
        screen.print(uri.toString());
        new CountDownLatch(1).await();
        return Ferry.DONE;
    }

    private NbdUri listen(NbdServer server, DataPlane plane) throws IOException {
        if (socket != null) {
            Path path = socket.toAbsolutePath().normalize();
            int listener = Sockets.listenUnix(path);
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
            server.listen(plane.listening(), listener);
            return new NbdUri.Unix(path, export);
        }
        InetSocketAddress address = new InetSocketAddress(host, port == null ? NbdUri.DEFAULT_PORT : port);
        if (address.isUnresolved()) {
            throw new IOException("there is no host '" + host + "'");
        }
        int listener = Sockets.listenTcp(address);
        NbdUri uri = new NbdUri.Tcp(host, Sockets.localPort(listener), export);
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
        } catch (BlockException failed) {
            screen.error(failed.error().message());
            Runtime.getRuntime().halt(Ferry.FAILED);
        } catch (IOException | InterruptedException gone) {
            Runtime.getRuntime().halt(Ferry.FAILED);
        }
        Runtime.getRuntime().halt(Ferry.DONE);
    }
}
