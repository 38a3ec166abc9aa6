package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.device.MemoryDevice;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.OnLoop;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * In the steady state neither end allocates for a request: what is measured is less than half of the smallest object.
 *
 * <p>It is not always zero: where a system call fails, as it does on epoll whenever a socket has nothing more, the JDK takes
 * 64 bytes to tell the error, until that path has been compiled as well.
 */
@Timeout(120)
@ParameterizedClass
@EnumSource(
        value = EventLoops.Kind.class,
        names = {"IO_URING", "EPOLL"})
class AllocationTest {
    private static final int WARM_UP_REQUESTS = 20_000;
    private static final int REQUESTS = 50_000;

    private static final int LONG_BYTES = 128 << 10;
    private static final long LONG_RUN_BYTES = 512L << 20;

    /** An object has a header of at least 8 bytes and takes 16. */
    private static final double BYTES_A_REQUEST_MAX = 8;

    /**
     * The compiler may still be at work in the first ones, and where the machine is busy in many: rare paths, such as that
     * of a call that would have to wait, are compiled late. What every request takes shows in all of them.
     */
    private static final int ROUNDS_MAX = 20;

    private static final int DEPTH = 64;
    private static final int DISK_BYTES = 16 << 20;

    @TempDir
    Path folder;

    private final EventLoops.Kind kind;

    AllocationTest(EventLoops.Kind kind) {
        this.kind = kind;
    }

    /** So many reads and writes in turn, at a depth, over and over one disk; nothing of it is new for a request. */
    private static final class Load {
        private final BlockDevice device;
        private final int length;
        private final CompletableFuture<@Nullable BlockError> end = new CompletableFuture<>();
        private final int requests;
        private final Lane[] lanes = new Lane[DEPTH];
        private int begun;
        private int inFlight;

        Load(BlockDevice device, int length, int requests) {
            this.device = device;
            this.length = length;
            this.requests = requests;
            // Made here and not on the loop, whose allocations are counted.
            for (int i = 0; i < lanes.length; i++) {
                lanes[i] = new Lane();
            }
        }

        void begin() {
            for (Lane lane : lanes) {
                lane.next();
            }
        }

        private final class Lane implements Completion {
            private final IoBuffer buffer = IoBuffer.allocate(length);

            void next() {
                int number = begun++;
                inFlight++;
                long offset = (long) (number * 31 % (DISK_BYTES / length)) * length;
                if (number % 2 == 0) {
                    device.write(offset, buffer, 0, length, 0, this);
                } else {
                    device.read(offset, buffer, 0, length, this);
                }
            }

            @Override
            public void complete(@Nullable BlockError error) {
                inFlight--;
                if (error != null) {
                    end.complete(error);
                } else if (begun < requests) {
                    next();
                } else if (inFlight == 0) {
                    end.complete(null);
                }
            }
        }
    }

    private static void run(EventLoop loop, BlockDevice device, int length, int requests) throws Exception {
        Load load = new Load(device, length, requests);
        loop.execute(load::begin);
        assertThat(load.end.get(60, TimeUnit.SECONDS)).isNull();
    }

    private static long allocatedBytes(EventLoop loop) throws Exception {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        CompletableFuture<Long> thread = new CompletableFuture<>();
        loop.execute(() -> thread.complete(Thread.currentThread().threadId()));
        return threads.getThreadAllocatedBytes(thread.get(90, TimeUnit.SECONDS));
    }

    private interface Disk {
        BlockDevice open(Served served) throws IOException;
    }

    /** Requests of one length on one way to a server. */
    private record Requests(BiFunction<Served, String, NbdUri> way, int length) {}

    private static Requests unix(int length) {
        return new Requests(Served::unix, length);
    }

    private static Requests tcp(int length) {
        return new Requests(Served::tcp, length);
    }

    private void assertNothingAllocated(Disk disk, Requests... all) throws Exception {
        try (Served served = new Served(kind)) {
            served.serve("disk", disk.open(served));
            for (Requests requests : all) {
                assertNothingAllocated(served, requests.way().apply(served, "disk"), requests.length());
            }
        }
    }

    private static void assertNothingAllocated(Served served, NbdUri uri, int length) throws Exception {
        NbdClientDevice device = NbdClientDevice.open(served.clientLoop, uri, ClientSettings.DEFAULT);
        // Long requests are fewer, so that a run takes seconds.
        int requests = length < LONG_BYTES ? REQUESTS : (int) (LONG_RUN_BYTES / length);
        run(served.clientLoop, device, length, length < LONG_BYTES ? WARM_UP_REQUESTS : requests);
        double server = Double.MAX_VALUE;
        double client = Double.MAX_VALUE;
        for (int round = 0; round < ROUNDS_MAX && Math.max(server, client) >= BYTES_A_REQUEST_MAX; round++) {
            long serverBefore = allocatedBytes(served.loop);
            long clientBefore = allocatedBytes(served.clientLoop);
            run(served.clientLoop, device, length, requests);
            server = Math.min(server, (double) (allocatedBytes(served.loop) - serverBefore) / requests);
            client = Math.min(client, (double) (allocatedBytes(served.clientLoop) - clientBefore) / requests);
        }
        assertThat(OnLoop.await(served.clients(), device::close)).isNull();
        assertThat(server).as("bytes a request on the server's loop").isLessThan(BYTES_A_REQUEST_MAX);
        assertThat(client).as("bytes a request on the client's loop").isLessThan(BYTES_A_REQUEST_MAX);
    }

    @Test
    void shortRequestsToMemoryAllocateNothing() throws Exception {
        assertNothingAllocated(_ -> new MemoryDevice(DISK_BYTES), unix(4096), tcp(512));
    }

    @Test
    void shortRequestsToAFileAllocateNothing() throws Exception {
        assertNothingAllocated(served -> FileDevice.open(served.loop, file(), FileOptions.CACHED), unix(4096));
    }

    @Test
    void longRequestsToMemoryAllocateNothing() throws Exception {
        assertNothingAllocated(_ -> new MemoryDevice(DISK_BYTES), unix(LONG_BYTES), tcp(2 * LONG_BYTES));
    }

    /** Written through the loop, and on a unix socket sent from the page cache. */
    @Test
    void longRequestsToAFileAllocateNothing() throws Exception {
        assertNothingAllocated(
                served -> FileDevice.open(served.loop, file(), FileOptions.CACHED),
                unix(LONG_BYTES),
                unix(4 * LONG_BYTES),
                tcp(2 * LONG_BYTES));
    }

    /** Looked at in the page cache, and described. */
    @Test
    void longRequestsToAFileOfZeroesAllocateNothing() throws Exception {
        assertNothingAllocated(
                served -> FileDevice.open(served.loop, emptyFile(), FileOptions.CACHED), unix(LONG_BYTES));
    }

    /** Nothing of O_DIRECT is inline: on epoll each request goes to a worker and comes back. */
    @Test
    void requestsPastThePageCacheAllocateNothing() throws Exception {
        assertNothingAllocated(
                served -> FileDevice.open(served.loop, file(), new FileOptions(false, true)),
                unix(4096),
                unix(LONG_BYTES));
    }

    /** Without a zero in it, so that every read carries bytes. */
    private Path file() throws IOException {
        byte[] bytes = new byte[DISK_BYTES];
        Arrays.fill(bytes, (byte) 0x5a);
        return Files.write(folder.resolve("disk.raw"), bytes);
    }

    private Path emptyFile() throws IOException {
        Path file = folder.resolve("disk.raw");
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(DISK_BYTES);
        }
        return file;
    }
}
