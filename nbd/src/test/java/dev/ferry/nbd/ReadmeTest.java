package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.device.ReactorLoop;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.Export;
import dev.ferry.nbd.server.NbdServer;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.tls.TlsCredentials;
import dev.ferry.nbd.tls.TlsFiles;
import dev.ferry.nbd.wire.TlsMode;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.reactor.Sockets;
import dev.ferry.testkit.OnLoop;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The examples of the module's README, as they stand there, together. */
@Timeout(180)
class ReadmeTest {
    @TempDir
    Path folder;

    private final CompletableFuture<byte[]> bytesRead = new CompletableFuture<>();

    @Test
    void theExamplesWork() throws Exception {
        Path file = folder.resolve("disk.raw");
        Path socket = folder.resolve("socket");
        byte[] content = new byte[1 << 20];
        Arrays.fill(content, (byte) 42);
        Files.write(file, content);
        try (EventLoops loops = EventLoops.start(1, EventLoops.Kind.AUTO)) {
            EventLoop loop = loops.next();
            BlockDevice served = CheckedDevice.of(FileDevice.open(loop, file, FileOptions.CACHED), "disk");
            NbdServer server = serve(loop, served, socket);
            BlockDevice read = readFrom(loop, socket);
            assertThat(bytesRead.get(90, TimeUnit.SECONDS)).isEqualTo(Arrays.copyOf(content, 4096));
            assertThat(OnLoop.await(new ReactorLoop(loop), read::close)).isNull();
            CountDownLatch done = new CountDownLatch(1);
            server.shutdown(done::countDown);
            assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
            assertThat(OnLoop.await(new ReactorLoop(loop), served::close)).isNull();
        }
    }

    @Test
    void theExampleOfTlsWorks() throws Exception {
        Path directory = Certificates.make(folder.resolve("pki")).folder();
        TlsCredentials credentials = TlsCredentials.load(TlsFiles.ofServer(directory));
        ServerTls tls = new ServerTls(TlsMode.REQUIRE, credentials, true, Set.of("vm7"));
        NbdServer server = new NbdServer(ServerSettings.DEFAULT, tls);
        CountDownLatch done = new CountDownLatch(1);
        server.shutdown(done::countDown);
        assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
    }

    private static NbdServer serve(EventLoop loop, BlockDevice disk, Path socket) throws Exception {
        BufferPool buffers = BufferPool.ofBytes(64 << 20);
        NbdServer server = new NbdServer(ServerSettings.DEFAULT);
        server.add(Export.of("disk", disk, loop, buffers));
        server.listen(loop, Sockets.listenUnix(socket));
        return server;
    }

    private BlockDevice readFrom(EventLoop loop, Path socket) throws Exception {
        NbdUri uri = NbdUri.parse("nbd+unix:///disk?socket=" + socket);
        BlockDevice disk = CheckedDevice.of(NbdClientDevice.open(loop, uri, ClientSettings.DEFAULT), "disk");
        IoBuffer buffer = IoBuffer.allocate(4096);
        loop.execute(() -> disk.read(0, buffer, 0, 4096, error -> whenRead(buffer, error)));
        return disk;
    }

    private void whenRead(IoBuffer buffer, @Nullable BlockError error) {
        byte[] bytes = new byte[4096];
        buffer.copyTo(0, bytes, 0, bytes.length);
        if (error == null) {
            bytesRead.complete(bytes);
        } else {
            bytesRead.completeExceptionally(error.toException());
        }
    }
}
