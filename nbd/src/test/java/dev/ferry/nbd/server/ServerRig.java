package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.reactor.Sockets;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** A server on a unix socket: it listens on one loop, and its exports live on another. */
final class ServerRig implements AutoCloseable {
    private static final long WAIT_SECONDS_MAX = 20;

    private final Path folder = Files.createTempDirectory("ferry-nbd");
    private final Path socket = folder.resolve("s");
    private final EventLoops loops;
    private final EventLoop listenerLoop;
    private final EventLoop exportLoop;
    private final BufferPool buffers = BufferPool.ofBytes(512L << 20);
    private final NbdServer server;
    private final NbdServer.Listener listener;
    private boolean stopped;

    ServerRig(EventLoops.Kind kind, ServerSettings settings) throws IOException {
        loops = EventLoops.start(2, kind);
        listenerLoop = loops.next();
        exportLoop = loops.next();
        server = new NbdServer(settings);
        listener = server.listen(listenerLoop, Sockets.listenUnix(socket));
    }

    ServerRig(ServerSettings settings) throws IOException {
        this(EventLoops.Kind.AUTO, settings);
    }

    ServerRig() throws IOException {
        this(ServerSettings.DEFAULT);
    }

    NbdServer server() {
        return server;
    }

    NbdServer.Listener listener() {
        return listener;
    }

    EventLoop exportLoop() {
        return exportLoop;
    }

    BufferPool buffers() {
        return buffers;
    }

    Path socket() {
        return socket;
    }

    ServerRig export(String name, BlockDevice device) throws BlockException {
        server.add(Export.of(name, device, exportLoop, buffers));
        return this;
    }

    ServerRig exportReadOnly(String name, BlockDevice device) throws BlockException {
        server.add(new Export(name, "", device, exportLoop, buffers, true));
        return this;
    }

    /** A disk without a hole at its beginning, so that reads of it carry bytes. */
    static MemoryDisk written(long sizeBytes, int writtenBytes) {
        MemoryDisk disk = new MemoryDisk(sizeBytes);
        byte[] bytes = new byte[writtenBytes];
        new Random(7).nextBytes(bytes);
        disk.fill(0, bytes);
        return disk;
    }

    RawClient connect() throws IOException {
        return new RawClient(socket);
    }

    /** Runs something on the loop of the exports and waits for it. */
    void onExportLoop(Runnable command) throws Exception {
        CompletableFuture.runAsync(command, exportLoop).get(WAIT_SECONDS_MAX, TimeUnit.SECONDS);
    }

    /** Waits for what another thread brings about. */
    static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS_MAX);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() - deadline > 0) {
                throw new AssertionError("in vain waited for: " + what);
            }
            TimeUnit.MILLISECONDS.sleep(1);
        }
    }

    /** All connections end by themselves. */
    void awaitNoConnections() throws InterruptedException {
        await("no connection left", () -> server.connections() == 0);
    }

    /** A server in order serves a good client. */
    void expectGoodService(String name) throws IOException {
        try (RawClient good = connect()) {
            good.go(name);
            assertThat(good.read(0, 512)).hasSize(512);
            good.disconnect();
        }
    }

    /** Shuts down, and waits until nothing is left. */
    private void stop() {
        CompletableFuture<Void> done = new CompletableFuture<>();
        server.shutdown(() -> done.complete(null));
        done.orTimeout(WAIT_SECONDS_MAX, TimeUnit.SECONDS).join();
        markStopped();
    }

    /** The test has shut the server down itself. */
    void markStopped() {
        stopped = true;
    }

    @Override
    public void close() throws IOException {
        try {
            if (!stopped) {
                stop();
            }
        } finally {
            loops.close();
            Files.deleteIfExists(socket);
            Files.deleteIfExists(folder);
        }
    }
}
