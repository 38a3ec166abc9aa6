package dev.ferry.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A guest's load: eight requests in flight, each of them logged, until stopped; 4k random writes unless told otherwise. */
final class GuestLoad {
    private static final int DEPTH = 8;

    private final Process fio;
    private final Path log;
    private final Path output;

    /** Starts to write to {@code uri}; {@code iops} is the pace, 0 for as fast as it goes. */
    GuestLoad(Path scratch, String uri, long sizeBytes, int iops) throws IOException {
        this(scratch, uri, sizeBytes, pattern(iops));
    }

    private static List<String> pattern(int iops) {
        List<String> pattern = new ArrayList<>(List.of("--rw=randwrite", "--bs=4k"));
        if (iops > 0) {
            pattern.add("--rate_iops=" + iops);
        }
        return pattern;
    }

    /** Starts a load of another pattern, in the words of fio. */
    GuestLoad(Path scratch, String uri, long sizeBytes, List<String> pattern) throws IOException {
        Path prefix = scratch.resolve("guest");
        log = scratch.resolve("guest_lat.1.log");
        output = scratch.resolve("guest.out");
        Files.deleteIfExists(log);
        List<String> command = new ArrayList<>(List.of("fio", "--name=guest", "--ioengine=nbd", "--uri=" + uri));
        command.addAll(pattern);
        command.addAll(List.of("--iodepth=" + DEPTH, "--size=" + sizeBytes));
        command.addAll(List.of("--time_based", "--runtime=3600", "--randrepeat=0", "--norandommap"));
        command.addAll(List.of("--write_lat_log=" + prefix, "--disable_slat=1", "--disable_clat=1"));
        command.addAll(List.of("--log_unix_epoch=1", "--eta=never"));
        fio = new ProcessBuilder(command)
                .directory(scratch.toFile())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
    }

    /** Ends the load and reads what it logged. */
    Trace stop() throws IOException, InterruptedException {
        if (!fio.isAlive()) {
            throw new BenchException("the load ended too soon: " + Files.readString(output));
        }
        new ProcessBuilder("kill", "-INT", Long.toString(fio.pid())).start().waitFor();
        if (!fio.waitFor(60, TimeUnit.SECONDS)) {
            kill();
            throw new BenchException("the load did not end: " + Files.readString(output));
        }
        return Trace.read(log);
    }

    /** Ends the load after something else has gone wrong. */
    void kill() {
        fio.destroyForcibly();
    }

    /** Every request of a load: when it was completed, and how long it took. */
    static final class Trace {
        private final long[] completedMillis;
        private final long[] latencyNanos;
        private final int count;

        private Trace(long[] completedMillis, long[] latencyNanos, int count) {
            this.completedMillis = completedMillis;
            this.latencyNanos = latencyNanos;
            this.count = count;
        }

        private static Trace read(Path log) throws IOException {
            long[] completed = new long[1 << 16];
            long[] latency = new long[1 << 16];
            int count = 0;
            try (BufferedReader reader = Files.newBufferedReader(log)) {
                for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                    // milliseconds since 1970, nanoseconds, direction, length, offset, priority
                    int first = line.indexOf(',');
                    int second = line.indexOf(',', first + 1);
                    if (count == completed.length) {
                        completed = Arrays.copyOf(completed, 2 * count);
                        latency = Arrays.copyOf(latency, 2 * count);
                    }
                    completed[count] = Long.parseLong(line.substring(0, first).trim());
                    latency[count] =
                            Long.parseLong(line.substring(first + 1, second).trim());
                    count++;
                }
            }
            if (count == 0) {
                throw new BenchException("the load did nothing");
            }
            return new Trace(completed, latency, count);
        }

        /** Requests per second from one instant to another, in milliseconds since 1970. */
        double perSecond(long from, long to) {
            return latencies(from, to).length * 1000.0 / Math.max(1, to - from);
        }

        /** The latency that 99 of 100 requests did not pass, in microseconds. */
        double p99Micros(long from, long to) {
            long[] sorted = latencies(from, to);
            Arrays.sort(sorted);
            return sorted.length == 0 ? Double.NaN : sorted[(int) (sorted.length * 0.99)] / 1000.0;
        }

        /** The longest that one request took, in milliseconds. */
        double longestMillis(long from, long to) {
            return Arrays.stream(latencies(from, to)).max().orElse(0) / 1e6;
        }

        private long[] latencies(long from, long to) {
            long[] chosen = new long[count];
            int size = 0;
            for (int index = 0; index < count; index++) {
                if (completedMillis[index] >= from && completedMillis[index] < to) {
                    chosen[size++] = latencyNanos[index];
                }
            }
            return Arrays.copyOf(chosen, size);
        }
    }
}
