package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.device.ReactorLoop;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.Export;
import dev.ferry.nbd.server.NbdServer;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.reactor.Sockets;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.RandomLoad;
import dev.ferry.testkit.Seeds;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Servers that are killed or stopped under load, and come back: no request fails, and no byte is wrong. */
@Timeout(180)
class ServerOutageTest {
    private static final int DISK_BYTES = 4 << 20;
    private static final int OUTAGES = 4;
    private static final ClientSettings PATIENT =
            ClientSettings.DEFAULT.withReconnectMax(Duration.ofMinutes(2)).withConnections(3);

    @TempDir
    Path folder;

    private EventLoops loops;
    private EventLoop clientLoop;
    private Loop loop;

    @BeforeEach
    void start() {
        loops = EventLoops.start(2, EventLoops.Kind.AUTO);
        clientLoop = loops.next();
        loop = new ReactorLoop(clientLoop);
    }

    @AfterEach
    void stop() {
        loops.close();
    }

    /** What goes away and comes back. */
    private interface Outage {
        void happen() throws Exception;
    }

    /** Runs a load until so many outages have happened in it, each after some more of it has been done. */
    private void run(NbdUri uri, Outage outage) {
        Seeds.run(seed -> {
            NbdClientDevice client = NbdClientDevice.open(clientLoop, uri, PATIENT);
            assertThat(client.connections()).isEqualTo(3);
            BlockDevice device = CheckedDevice.of(client, "disk");
            RandomLoad load = new RandomLoad(loop, device, seed);
            Semaphore rounds = new Semaphore(0);
            AtomicInteger outages = new AtomicInteger();
            CompletableFuture<Void> working = CompletableFuture.runAsync(() -> {
                while (outages.get() < OUTAGES) {
                    load.run(20);
                    rounds.release();
                }
            });
            CompletableFuture<Void> over = working.whenComplete((_, _) -> rounds.release(2 * OUTAGES));
            while (outages.get() < OUTAGES) {
                assertThat(rounds.tryAcquire(2, 60, TimeUnit.SECONDS))
                        .as("the load goes on")
                        .isTrue();
                outage.happen();
                outages.incrementAndGet();
            }
            over.get(120, TimeUnit.SECONDS);
            load.run(20);
            assertThat(OnLoop.await(loop, device::close)).isNull();
        });
    }

    @Test
    void nbdkitIsKilledAndStartedAgain() throws Exception {
        Path file = folder.resolve("disk.raw");
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(DISK_BYTES);
        }
        Path socket = folder.resolve("socket");
        List<String> options = List.of("--foreground", "--exit-with-parent", "--unix");
        StrangeServer[] server = {StrangeServer.start("nbdkit", options, socket, "file", file.toString())};
        try {
            run(new NbdUri.Unix(socket, ""), () -> {
                server[0].kill();
                Files.deleteIfExists(socket);
                server[0] = StrangeServer.start("nbdkit", options, socket, "file", file.toString());
            });
        } finally {
            server[0].close();
        }
    }

    @Test
    void ourOwnServerStopsAndStartsAgain() throws Exception {
        Path socket = folder.resolve("socket");
        EventLoop serverLoop = loops.next();
        BlockDevice disk = CheckedDevice.of(new MemoryDisk(DISK_BYTES), "disk");
        BufferPool buffers = BufferPool.ofBytes(256 << 20);
        NbdServer[] server = {listen(serverLoop, socket, disk, buffers)};
        run(new NbdUri.Unix(socket, "disk"), () -> {
            stop(server[0]);
            Files.deleteIfExists(socket);
            server[0] = listen(serverLoop, socket, disk, buffers);
        });
        stop(server[0]);
    }

    private static NbdServer listen(EventLoop loop, Path socket, BlockDevice disk, BufferPool buffers)
            throws IOException {
        NbdServer server = new NbdServer(ServerSettings.DEFAULT);
        server.add(Export.of("disk", disk, loop, buffers));
        server.listen(loop, Sockets.listenUnix(socket));
        return server;
    }

    private static void stop(NbdServer server) throws InterruptedException {
        CountDownLatch done = new CountDownLatch(1);
        server.shutdown(done::countDown);
        assertThat(done.await(60, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void aServerThatIsTooSlowIsGivenUpWithinTheBound() throws Exception {
        Path socket = folder.resolve("socket");
        List<String> options = List.of("--foreground", "--exit-with-parent", "--filter=delay", "--unix");
        try (StrangeServer server = StrangeServer.start("nbdkit", options, socket, "memory", "1M", "delay-read=60")) {
            NbdClientDevice device = NbdClientDevice.open(
                    clientLoop,
                    new NbdUri.Unix(server.socket(), ""),
                    ClientSettings.DEFAULT.withRequestMax(Duration.ofMillis(300)));
            IoBuffer buffer = IoBuffer.allocate(4096);
            BlockError error = Objects.requireNonNull(OnLoop.await(loop, end -> device.read(0, buffer, 0, 4096, end)));
            assertThat(error.kind()).isEqualTo(ErrorKind.TIMED_OUT);
            assertThat(OnLoop.await(loop, device::close)).isNull();
            server.kill();
        }
    }
}
