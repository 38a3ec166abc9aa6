package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.device.ReactorLoop;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.RandomLoad;
import dev.ferry.testkit.Requires;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Our client, over several connections, at daemons that others wrote: QEMU's, the reference server, nbdkit as a proxy. */
@Timeout(120)
class StrangeDaemonsTest {
    private static final int MEBI = 1 << 20;

    @TempDir
    Path folder;

    private EventLoops loops;
    private EventLoop events;
    private ReactorLoop loop;

    @BeforeEach
    void start() {
        loops = EventLoops.start(1, EventLoops.Kind.AUTO);
        events = loops.next();
        loop = new ReactorLoop(events);
    }

    @AfterEach
    void stop() {
        loops.close();
    }

    private Path sparse(String name, long bytes) throws IOException {
        Path file = folder.resolve(name);
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(bytes);
        }
        return file;
    }

    private NbdClientDevice open(Path socket, String name, ClientSettings settings) throws BlockException {
        return NbdClientDevice.open(events, new NbdUri.Unix(socket, name), settings);
    }

    /** Random requests over four connections, each answer checked. */
    private void use(Path socket, String name) throws BlockException {
        BlockDevice device =
                CheckedDevice.of(open(socket, name, ClientSettings.DEFAULT.withConnections(4)), "disk " + name);
        assertThat(device.geometry().sizeBytes()).isEqualTo(16 * MEBI);
        Seeds.run(seed -> new RandomLoad(loop, device, seed).run(400));
        assertThat(OnLoop.await(loop, device::close)).isNull();
    }

    private StrangeServer storageDaemon(String... arguments) throws Exception {
        Path socket = folder.resolve("socket");
        List<String> options =
                new ArrayList<>(List.of("--nbd-server", "addr.type=unix,max-connections=8,addr.path=" + socket));
        options.addAll(List.of(arguments));
        return StrangeServer.start("qemu-storage-daemon", socket, options);
    }

    @Test
    void qemusStorageDaemonKeepsWhatItIsGivenOverFourConnections() throws Exception {
        Path file = sparse("disk.raw", 16 * MEBI);
        try (StrangeServer server = storageDaemon(
                "--blockdev",
                "driver=file,node-name=disk,discard=unmap,filename=" + file,
                "--export",
                "type=nbd,id=disk,node-name=disk,name=disk,writable=on")) {
            use(server.socket(), "disk");
        }
    }

    @Test
    void theBitmapsOfQemusStorageDaemonAreRead() throws Exception {
        Path image = folder.resolve("disk.qcow2");
        Stranger.succeeds("qemu-img", "create", "-q", "-f", "qcow2", image.toString(), "16M");
        Stranger.succeeds("qemu-img", "bitmap", "--add", "-f", "qcow2", image.toString(), "nightly");
        Stranger.succeeds("qemu-io", "-f", "qcow2", "-c", "write 1M 128k", "-c", "write 9M 64k", image.toString());
        try (StrangeServer server = storageDaemon(
                "--blockdev",
                "driver=file,node-name=file,read-only=on,filename=" + image,
                "--blockdev",
                "driver=qcow2,node-name=disk,read-only=on,file=file",
                "--export",
                "type=nbd,id=disk,node-name=disk,name=disk,bitmaps.0=nightly")) {
            String context = Nbd.DIRTY_BITMAP + "nightly";
            NbdClientDevice device =
                    open(server.socket(), "disk", ClientSettings.DEFAULT.withContexts(List.of(context)));
            List<String> dirty = new ArrayList<>();
            assertThat(OnLoop.await(
                            loop,
                            end -> device.status(
                                    context,
                                    0,
                                    16 * MEBI,
                                    (at, length, status) -> {
                                        if (status != 0) {
                                            dirty.add(at + "+" + length);
                                        }
                                    },
                                    end)))
                    .isNull();
            assertThat(dirty).containsExactly("1048576+131072", "9437184+65536");
            assertThat(OnLoop.await(loop, device::close)).isNull();
        }
    }

    /** It has neither structured replies nor block sizes; it goes to the background, and says where it is in a file. */
    @Test
    void theReferenceServerKeepsWhatItIsGiven() throws Exception {
        Requires.program("nbd-server");
        Path file = sparse("disk.raw", 16 * MEBI);
        Path socket = folder.resolve("socket");
        Path number = folder.resolve("pid");
        Path settings = Files.writeString(
                folder.resolve("settings"),
                "[generic]\nunixsock = " + socket + "\n[disk]\nexportname = " + file
                        + "\nflush = true\nfua = true\ntrim = true\n");
        Stranger.succeeds("nbd-server", "-C", settings.toString(), "-p", number.toString());
        await(() -> Files.exists(number) && Files.size(number) > 0);
        ProcessHandle server = ProcessHandle.of(
                        Long.parseLong(Files.readString(number).strip()))
                .orElseThrow();
        try {
            await(() -> Files.exists(socket));
            use(socket, "disk");
        } finally {
            server.destroy();
        }
        await(() -> !server.isAlive());
    }

    @FunctionalInterface
    private interface Condition {
        boolean holds() throws IOException;
    }

    private static void await(Condition condition) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!condition.holds()) {
            assertThat(System.nanoTime() - deadline).as("waited in vain").isNegative();
            TimeUnit.MILLISECONDS.sleep(5);
        }
    }

    /** Our client, nbdkit's client, our server: what goes through all three is what is kept. */
    @Test
    void nbdkitIsAProxyBetweenOurTwoEnds() throws Exception {
        try (Served served = new Served(EventLoops.Kind.AUTO, ServerSettings.DEFAULT)) {
            served.serve("disk", new MemoryDisk(16 * MEBI));
            Path ours = ((NbdUri.Unix) served.unix("disk")).socket();
            try (StrangeServer proxy = StrangeServer.start(
                    "nbdkit",
                    List.of("-f", "-U"),
                    folder.resolve("socket"),
                    "nbd",
                    "socket=" + ours,
                    "export=disk",
                    "shared=true")) {
                use(proxy.socket(), "");
            }
        }
    }
}
