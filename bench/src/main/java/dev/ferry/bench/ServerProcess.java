package dev.ferry.bench;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;

/** A server under measurement: a process with its children, and where it listens. */
final class ServerProcess implements AutoCloseable {
    private static final long START_LIMIT_NANOS = TimeUnit.SECONDS.toNanos(30);

    /** Of the times in /proc; 100 on every Linux that Java runs on. */
    private static final long TICKS_PER_SECOND = 100;

    private final Process process;
    private final String uri;
    private final int port;

    private ServerProcess(Process process, String uri, int port) {
        this.process = process;
        this.uri = uri;
        this.port = port;
    }

    /** Starts a server that listens on a unix socket, and waits until it does. */
    static ServerProcess onSocket(List<String> command, Path socket, Path log) {
        return onSocket(command, socket, "nbd+unix:///?socket=" + socket, log);
    }

    /** @param uri how clients are told of it */
    static ServerProcess onSocket(List<String> command, Path socket, String uri, Path log) {
        SocketAddress address = UnixDomainSocketAddress.of(socket);
        return start(command, () -> answers(address), uri, 0, log);
    }

    /** Starts a server that listens on a port of the loopback address, and waits until it does. */
    static ServerProcess onPort(List<String> command, int port, Path log) {
        return onAddress(command, InetAddress.getLoopbackAddress().getHostAddress(), port, log);
    }

    /** The same, on an address that may be far away. */
    static ServerProcess onAddress(List<String> command, String host, int port, Path log) {
        SocketAddress address = new InetSocketAddress(host, port);
        return start(command, () -> answers(address), "nbd://" + host + ":" + port, port, log);
    }

    private static ServerProcess start(List<String> command, BooleanSupplier ready, String uri, int port, Path log) {
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
            ServerProcess server = new ServerProcess(process, uri, port);
            long end = System.nanoTime() + START_LIMIT_NANOS;
            while (!ready.getAsBoolean()) {
                if (!process.isAlive() || System.nanoTime() > end) {
                    server.close();
                    throw new BenchException(String.join(" ", command) + " does not answer: " + Files.readString(log));
                }
                TimeUnit.MILLISECONDS.sleep(20);
            }
            return server;
        } catch (IOException e) {
            throw new BenchException("cannot start " + command.getFirst() + ": " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted while starting " + command.getFirst(), e);
        }
    }

    private static boolean answers(SocketAddress address) {
        try (SocketChannel channel = address instanceof UnixDomainSocketAddress
                ? SocketChannel.open(StandardProtocolFamily.UNIX)
                : SocketChannel.open()) {
            channel.connect(address);
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** Starts a server that answers in its own way: {@code ready} says when. */
    static ServerProcess until(BooleanSupplier ready, List<String> command, Path log) {
        return start(command, ready, "", 0, log);
    }

    /** The NBD URI of its default export. */
    String uri() {
        return uri;
    }

    /** The port where it listens; 0 if it listens at none. */
    int port() {
        return port;
    }

    /**
     * Processor time.
     *
     * @param userNanos of the program itself
     * @param kernelNanos of the kernel for it
     */
    record CpuTime(long userNanos, long kernelNanos) {
        CpuTime plus(CpuTime other) {
            return new CpuTime(userNanos + other.userNanos, kernelNanos + other.kernelNanos);
        }

        CpuTime since(CpuTime before) {
            return new CpuTime(userNanos - before.userNanos, kernelNanos - before.kernelNanos);
        }

        long nanos() {
            return userNanos + kernelNanos;
        }
    }

    /** Processor time so far, of all threads of the process and its children. */
    CpuTime cpuTime() {
        try (Stream<ProcessHandle> children = process.descendants()) {
            return Stream.concat(Stream.of(process.toHandle()), children)
                    .map(handle -> cpuTimeOf(handle.pid()))
                    .reduce(new CpuTime(0, 0), CpuTime::plus);
        }
    }

    /** Resident memory of the process itself now, in KiB. */
    long residentKib() {
        return residentKibOf(process.pid());
    }

    /** Resident memory of its children now, in KiB. */
    long childrenResidentKib() {
        try (Stream<ProcessHandle> children = process.descendants()) {
            return children.mapToLong(handle -> residentKibOf(handle.pid())).sum();
        }
    }

    private static CpuTime cpuTimeOf(long pid) {
        String stat = procFile(pid, "stat");
        // The name of the program, in parentheses, may hold spaces; what counts comes after it: state is field 3.
        String[] fields = stat.substring(stat.lastIndexOf(')') + 1).trim().split(" ", -1);
        if (fields.length < 13) {
            return new CpuTime(0, 0);
        }
        long tickNanos = 1_000_000_000L / TICKS_PER_SECOND;
        return new CpuTime(Long.parseLong(fields[11]) * tickNanos, Long.parseLong(fields[12]) * tickNanos);
    }

    private static long residentKibOf(long pid) {
        return procFile(pid, "status")
                .lines()
                .filter(line -> line.startsWith("VmRSS:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                .sum();
    }

    private static String procFile(long pid, String name) {
        try {
            return Files.readString(Path.of("/proc", Long.toString(pid), name));
        } catch (NoSuchFileException e) {
            return "";
        } catch (IOException e) {
            throw new BenchException("cannot read /proc/" + pid + "/" + name, e);
        }
    }

    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(10, TimeUnit.SECONDS)) {
                process.descendants().forEach(ProcessHandle::destroyForcibly);
                process.destroyForcibly().waitFor();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
