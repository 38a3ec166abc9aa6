package dev.ferry.nbd;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Loop;
import dev.ferry.device.ReactorLoop;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.Export;
import dev.ferry.nbd.server.NbdServer;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.reactor.Sockets;
import dev.ferry.testkit.OnLoop;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** A server with disks behind a unix socket and a TCP port; one loop for it, and one for clients. */
final class Served implements AutoCloseable {
    private static final long POOL_BYTES = 256 << 20;

    final EventLoop loop;
    final EventLoop clientLoop;
    final NbdServer server;
    final BufferPool buffers = BufferPool.ofBytes(POOL_BYTES);
    private final EventLoops loops;
    private final Path folder;
    private final Path socket;
    private final int port;
    private final List<BlockDevice> devices = new ArrayList<>();

    Served(EventLoops.Kind kind) throws IOException {
        this(kind, ServerSettings.DEFAULT);
    }

    Served(EventLoops.Kind kind, ServerSettings settings) throws IOException {
        this(kind, settings, ServerTls.OFF);
    }

    Served(EventLoops.Kind kind, ServerSettings settings, ServerTls tls) throws IOException {
        loops = EventLoops.start(2, kind);
        loop = loops.all().get(0);
        clientLoop = loops.all().get(1);
        server = new NbdServer(settings, tls);
        folder = Files.createTempDirectory("nbd");
        socket = folder.resolve("socket");
        server.listen(loop, Sockets.listenUnix(socket));
        int tcp = Sockets.listenTcp(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        port = Sockets.localPort(tcp);
        server.listen(loop, tcp);
    }

    /** Exports a device behind the checked boundary; it is closed with this server. */
    BlockDevice serve(String name, BlockDevice device) throws BlockException {
        return serve(name, device, false);
    }

    BlockDevice serve(String name, BlockDevice device, boolean readOnly) throws BlockException {
        BlockDevice checked = CheckedDevice.of(device, name);
        devices.add(checked);
        server.add(new Export(name, "the disk " + name, checked, loop, buffers, readOnly));
        return checked;
    }

    NbdUri unix(String name) {
        return new NbdUri.Unix(socket, name);
    }

    NbdUri tcp(String name) {
        return new NbdUri.Tcp("127.0.0.1", port, name);
    }

    /** The same through TLS. */
    NbdUri tls(NbdUri uri, Path certificates) {
        return switch (uri) {
            case NbdUri.Tcp tcp ->
                new NbdUri.Tcp(tcp.host(), tcp.port(), tcp.exportName(), new NbdUri.Tls(null, true, certificates));
            case NbdUri.Unix unix ->
                new NbdUri.Unix(unix.socket(), unix.exportName(), new NbdUri.Tls("localhost", true, certificates));
        };
    }

    Loop clients() {
        return new ReactorLoop(clientLoop);
    }

    @Override
    public void close() throws IOException {
        CountDownLatch done = new CountDownLatch(1);
        server.shutdown(done::countDown);
        try {
            if (!done.await(30, TimeUnit.SECONDS)) {
                throw new AssertionError("the server does not shut down");
            }
        } catch (InterruptedException interrupted) {
            throw new AssertionError("interrupted", interrupted);
        }
        for (BlockDevice device : devices) {
            OnLoop.await(new ReactorLoop(loop), device::close);
        }
        loops.close();
        Files.deleteIfExists(socket);
        Files.deleteIfExists(folder);
    }
}
