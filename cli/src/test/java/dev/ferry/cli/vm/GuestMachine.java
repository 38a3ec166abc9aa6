package dev.ferry.cli.vm;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * One run of the test guest under QEMU, its only disk attached over NBD. QEMU emulates the processor (TCG), so no
 * virtualisation is needed; the environment variable {@code FERRY_ACCEL} can name another accelerator.
 *
 * <p>The guest works from {@link #awaitReady} to {@link #stop}. Two threads of this class read its serial ports; its
 * methods may be called from any thread.
 */
final class GuestMachine implements AutoCloseable {
    private static final Duration START_LIMIT = Duration.ofMinutes(4);

    private final Process qemu;
    private final Path console;
    private final SocketChannel ticker;
    private final List<String> lines = new ArrayList<>();
    private long ticks;
    private long lastTickNanos;
    private long longestGapNanos;

    /**
     * Starts a machine whose kernel QEMU loads.
     *
     * @param directory for its sockets and its log
     * @param seed of the guest's work
     * @param uri of its disk, {@code nbd+unix:///EXPORT?socket=PATH}
     */
    static GuestMachine of(GuestImage image, Path directory, long seed, String uri) throws IOException {
        List<String> boot = new ArrayList<>(List.of("-kernel", image.kernel().toString()));
        boot.addAll(List.of("-initrd", image.initramfs().toString()));
        boot.addAll(List.of("-append", "console=ttyS0 quiet panic=-1 ferry.seed=" + seed));
        return new GuestMachine(boot, "", directory, uri);
    }

    /** Starts a machine whose BIOS boots it from its disk ({@link BootDisk}). */
    static GuestMachine fromDisk(Path directory, String uri) throws IOException {
        return new GuestMachine(List.of(), ",bootindex=0", directory, uri);
    }

    private GuestMachine(List<String> boot, String deviceOptions, Path directory, String uri) throws IOException {
        console = directory.resolve("console.log");
        Path tickerPath = directory.resolve("ticker.sock");
        Path consolePath = directory.resolve("console.sock");
        String accelerator = Optional.ofNullable(System.getenv("FERRY_ACCEL")).orElse("tcg");
        List<String> command = new ArrayList<>(List.of("qemu-system-x86_64", "-nodefaults", "-no-user-config"));
        command.addAll(List.of("-display", "none", "-accel", accelerator, "-cpu", "qemu64,+rdrand", "-m", "256M"));
        command.addAll(List.of("-S", "-no-reboot", "-monitor", "stdio"));
        command.addAll(boot);
        for (Path socket : List.of(consolePath, tickerPath)) {
            command.addAll(List.of("-serial", "unix:" + socket + ",server=on,wait=off"));
        }
        command.addAll(List.of("-blockdev", drive(uri), "-device", "virtio-blk-pci,drive=disk" + deviceOptions));
        Path log = directory.resolve("qemu.log");
        qemu = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        try {
            read(connect(consolePath, log), this::consoleLine);
            ticker = connect(tickerPath, log);
            read(ticker, this::tick);
            // It was started stopped, so that nothing is missed on its serial ports.
            qemu.outputWriter().append("cont\n").flush();
        } catch (IOException | RuntimeException | Error e) {
            qemu.destroyForcibly();
            throw e;
        }
    }

    /**
     * The disk: no error to the guest while the server is away for less than a minute; no cache between guest and server.
     */
    private static String drive(String uri) {
        URI parsed = URI.create(uri);
        if (!parsed.getScheme().equals("nbd+unix") || !parsed.getQuery().startsWith("socket=")) {
            throw new AssertionError("not the address of a disk on a unix socket: " + uri);
        }
        String socket = parsed.getQuery().substring("socket=".length());
        return "driver=nbd,node-name=disk,server.type=unix,server.path=" + socket + ",export="
                + parsed.getPath().substring(1) + ",discard=unmap,cache.direct=on,reconnect-delay=60";
    }

    private SocketChannel connect(Path path, Path log) throws IOException {
        AtomicReference<SocketChannel> connected = new AtomicReference<>();
        await("QEMU to listen on " + path, START_LIMIT, () -> connects(path, connected) || !qemu.isAlive());
        if (connected.get() == null) {
            throw new AssertionError("QEMU did not start: " + Files.readString(log));
        }
        return connected.get();
    }

    /** A socket has its name a moment before anybody listens to it. */
    private static boolean connects(Path path, AtomicReference<SocketChannel> connected) {
        try {
            connected.set(SocketChannel.open(UnixDomainSocketAddress.of(path)));
            return true;
        } catch (IOException notYet) {
            return false;
        }
    }

    /** Until the guest has its file system and begins to work. */
    void awaitReady() {
        await(
                "the guest to boot",
                Duration.ofMinutes(4),
                () -> lineStartingWith("guest: ready").isPresent());
    }

    /** Until {@code count} more checked writes of the guest are done. */
    void awaitTicks(int count) {
        long goal = ticks() + count;
        await(count + " more writes of the guest", Duration.ofMinutes(4), () -> ticks() >= goal);
    }

    /** How many checked writes the guest has done. */
    synchronized long ticks() {
        return ticks;
    }

    /** Forgets the longest gap, and begins to measure from now. */
    synchronized void beginGaps() {
        longestGapNanos = 0;
        lastTickNanos = System.nanoTime();
    }

    /** The longest time between two checked writes, and from the last one to now, in milliseconds. */
    synchronized long longestGapMillis() {
        return TimeUnit.NANOSECONDS.toMillis(Math.max(longestGapNanos, System.nanoTime() - lastTickNanos));
    }

    /**
     * Tells the guest to end its work, check all its files and power off; returns when QEMU has ended.
     *
     * @return what the guest says of its run: {@code clean} or {@code failed}, and its counts
     */
    String stop() throws IOException, InterruptedException {
        ticker.write(ByteBuffer.wrap("stop\n".getBytes(StandardCharsets.US_ASCII)));
        await("the guest to power off", Duration.ofMinutes(4), () -> !qemu.isAlive());
        if (qemu.waitFor() != 0) {
            throw new AssertionError("QEMU ended with " + qemu.exitValue());
        }
        await(
                "the guest's last words",
                Duration.ofSeconds(60),
                () -> lineStartingWith("guest: result ").isPresent());
        return lineStartingWith("guest: result ").orElseThrow();
    }

    /** All that the guest has said, for the message of a failure. */
    synchronized List<String> consoleLines() {
        return List.copyOf(lines);
    }

    /** The first console line that begins with {@code prefix}, without it. */
    synchronized Optional<String> lineStartingWith(String prefix) {
        return lines.stream()
                .filter(line -> line.startsWith(prefix))
                .map(line -> line.substring(prefix.length()))
                .findFirst();
    }

    /** Pulls the plug. */
    @Override
    public void close() throws IOException {
        qemu.destroyForcibly();
        Files.write(console, consoleLines());
    }

    private synchronized void consoleLine(String line) {
        lines.add(line);
        notifyAll();
    }

    private synchronized void tick(String line) {
        if (!line.startsWith("t ")) {
            return;
        }
        long now = System.nanoTime();
        longestGapNanos = Math.max(longestGapNanos, now - lastTickNanos);
        lastTickNanos = now;
        ticks++;
        notifyAll();
    }

    private static void read(SocketChannel channel, Consumer<String> sink) {
        Thread.ofVirtual().start(() -> {
            try (BufferedReader reader = new BufferedReader(Channels.newReader(channel, StandardCharsets.ISO_8859_1))) {
                for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                    sink.accept(line);
                }
            } catch (IOException e) {
                sink.accept("(serial port: " + e.getMessage() + ")");
            }
        });
    }

    /** Waits on the serial ports' news, and looks again now and then for what they do not tell. */
    private synchronized void await(String what, Duration limit, BooleanSupplier condition) {
        long end = System.nanoTime() + limit.toNanos();
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("waited " + limit.toSeconds() + " s for " + what + "; the guest said:\n"
                        + String.join("\n", lines));
            }
            try {
                wait(50);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new AssertionError("interrupted while waiting for " + what, e);
            }
        }
    }
}
