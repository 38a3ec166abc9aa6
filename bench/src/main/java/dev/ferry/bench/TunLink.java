package dev.ferry.bench;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * A link between two network namespaces, ours and one beyond: packets of the kernels' TCP are read from a {@link TunDevice}
 * here, wait for the line and for half of the round trip, and are written to the one at the other end. What finds the queue
 * full is lost.
 *
 * <pre>
 *   client ─ TCP ─ TUN ── reader ─▶ line: when is it free? ─▶ half of the round trip ─▶ writer ── TUN ─ TCP ─ server
 *   this namespace                                                                             the one beyond
 * </pre>
 *
 * <p>The namespace beyond is that of a process that waits for its standard input to end: it is gone when this process is,
 * however it ends. Needs root, /dev/net/tun, and the programs ip, unshare and nsenter. Threads: two for each direction.
 */
final class TunLink implements Link {
    private static final List<String> PROGRAMS = List.of("ip", "unshare", "nsenter");

    /** More than fits into the queue and on the way. */
    private static final int PACKETS = 4096;

    private static final int PORT = 10809;
    private static final long GONE_MILLIS_MAX = 10_000;

    private final LinkDirection toServer;
    private final LinkDirection toClient;
    private final Arena arena = Arena.ofShared();
    private final Process beyond;
    private final TunDevice near;
    private final TunDevice far;
    private final String nearAddress;
    private final String farAddress;
    private final Path scratch;
    private final List<Thread> threads = new ArrayList<>();

    /** True if this process may make one. */
    static boolean possible() {
        String path = System.getenv("PATH");
        boolean programs = PROGRAMS.stream()
                .allMatch(name -> path != null
                        && List.of(path.split(":", -1)).stream()
                                .anyMatch(folder -> !folder.isEmpty() && Files.isExecutable(Path.of(folder, name))));
        return programs && "root".equals(System.getProperty("user.name")) && Files.isWritable(Path.of("/dev/net/tun"));
    }

    /**
     * @param scratch for what programs say
     * @param bytesPerSecond each way
     */
    TunLink(Path scratch, long bytesPerSecond, long roundTripNanos) {
        this.scratch = scratch;
        toServer = new LinkDirection(bytesPerSecond, roundTripNanos / 2);
        toClient = new LinkDirection(bytesPerSecond, roundTripNanos / 2);
        // Several of these may be under way. Addresses are of the range for benchmarks (RFC 2544).
        long pid = ProcessHandle.current().pid();
        String net = "198.18." + ((pid >> 6) & 255) + ".";
        long host = (pid & 63) * 4;
        nearAddress = net + (host + 1);
        farAddress = net + (host + 2);
        near = new TunDevice("ferry" + pid % 10_000_000 + "n");
        far = new TunDevice("ferry" + pid % 10_000_000 + "f");
        try {
            beyond = new ProcessBuilder("unshare", "--net", "cat")
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            join();
        } catch (IOException failed) {
            throw new BenchException("cannot make a namespace: " + failed.getMessage(), failed);
        }
        carry("to-server", near, far, toServer);
        carry("to-client", far, near, toClient);
    }

    private void join() throws IOException {
        awaitNamespace();
        run("ip", "link", "set", far.name(), "netns", Long.toString(beyond.pid()));
        run("ip", "address", "add", nearAddress + "/30", "dev", near.name());
        run("ip", "link", "set", near.name(), "up");
        run(beyond("ip", "address", "add", farAddress + "/30", "dev", far.name()));
        run(beyond("ip", "link", "set", far.name(), "up"));
    }

    /** Until the process has left ours. */
    private void awaitNamespace() throws IOException {
        Path ours = Files.readSymbolicLink(Path.of("/proc/self/ns/net"));
        Path theirs = Path.of("/proc", Long.toString(beyond.pid()), "ns/net");
        while (Files.readSymbolicLink(theirs).equals(ours)) {
            if (!beyond.isAlive()) {
                throw new IOException("unshare ended");
            }
            Thread.onSpinWait();
        }
    }

    private void run(String... command) {
        run(List.of(command));
    }

    private void run(List<String> command) {
        String _ = Program.run(scratch, command);
    }

    /** A command as it is run beyond. */
    List<String> beyond(String... command) {
        List<String> all = new ArrayList<>(List.of("nsenter", "--net=/proc/" + beyond.pid() + "/ns/net", "--"));
        all.addAll(List.of(command));
        return all;
    }

    /** The device on this side. */
    String deviceName() {
        return near.name();
    }

    /** How the other end is reached from here. */
    String farAddress() {
        return farAddress;
    }

    /** Starts Ferry's server beyond. */
    ServerProcess serve(Path file, BenchOptions options) {
        List<String> command = beyond(
                options.ferry(),
                "nbd",
                "serve",
                file.toString(),
                "--bind",
                farAddress,
                "--port",
                Integer.toString(PORT));
        return ServerProcess.onAddress(command, farAddress, PORT, scratch.resolve("far.log"));
    }

    @Override
    public LinkDirection toServer() {
        return toServer;
    }

    @Override
    public LinkDirection toClient() {
        return toClient;
    }

    // ---- packets

    /** A packet, or room for one. */
    private static final class Packet {
        private final MemorySegment memory;
        private int length;
        private long arrivalNanos;

        Packet(MemorySegment memory) {
            this.memory = memory;
        }
    }

    private void carry(String name, TunDevice from, TunDevice to, LinkDirection direction) {
        BlockingQueue<Packet> free = new ArrayBlockingQueue<>(PACKETS);
        BlockingQueue<Packet> way = new ArrayBlockingQueue<>(PACKETS);
        // Pages that no packet has touched take no memory.
        MemorySegment all = arena.allocate((long) PACKETS * TunDevice.PACKET_BYTES_MAX, 8);
        for (int i = 0; i < PACKETS; i++) {
            free.add(new Packet(all.asSlice((long) i * TunDevice.PACKET_BYTES_MAX, TunDevice.PACKET_BYTES_MAX)));
        }
        start(name + "-reader", () -> read(from, direction, free, way));
        start(name + "-writer", () -> write(to, free, way));
    }

    private void start(String name, Runnable work) {
        threads.add(Thread.ofPlatform().name(name).daemon().start(work));
    }

    private static void read(
            TunDevice from, LinkDirection direction, BlockingQueue<Packet> free, BlockingQueue<Packet> way) {
        try {
            while (true) {
                Packet packet = free.take();
                do {
                    packet.length = from.read(packet.memory.address());
                    packet.arrivalNanos = packet.length < 0
                            ? System.nanoTime()
                            : direction.offer(packet.length - TunDevice.HeaderLayout.BYTES);
                } while (packet.arrivalNanos == LinkDirection.DROPPED);
                way.put(packet);
                if (packet.length < 0) {
                    return;
                }
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static void write(TunDevice to, BlockingQueue<Packet> free, BlockingQueue<Packet> way) {
        try {
            while (true) {
                Packet packet = way.take();
                if (packet.length < 0) {
                    return;
                }
                LinkDirection.waitUntil(packet.arrivalNanos);
                int _ = to.write(packet.memory.address(), packet.length);
                free.put(packet);
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Takes both devices away, so that whoever waits for their packets hears of it. */
    @Override
    public void close() {
        try {
            run(beyond("ip", "link", "delete", far.name()));
            run("ip", "link", "delete", near.name());
            for (Thread thread : threads) {
                thread.join(GONE_MILLIS_MAX);
            }
            beyond.getOutputStream().close();
            boolean ended = beyond.waitFor(GONE_MILLIS_MAX, TimeUnit.MILLISECONDS);
            if (!ended || threads.stream().anyMatch(Thread::isAlive)) {
                throw new BenchException("the link to " + farAddress + " does not end");
            }
        } catch (IOException failed) {
            throw new BenchException("cannot end the link: " + failed.getMessage(), failed);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return;
        }
        near.close();
        far.close();
        arena.close();
    }
}
